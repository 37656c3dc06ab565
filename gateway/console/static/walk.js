// Goes from one found photo to the next, without going back to the search.

import { complain, $ } from "./dom.js";
import { Found } from "./found.js";
import { isAsked } from "./search_request.js";
import { t } from "./texts.js";

/**
 * Lets the reader go through the photos that a search has found, if this tab still knows them.
 *
 * @param {SearchRequest} wanted the search
 * @param {(asset: string) => unknown} show shows the photo of an id
 */
export function walking(wanted, show) {
  /** @type {string | null} */
  let here = null;
  let going = new AbortController();

  const found = () => (isAsked(wanted) ? Found.kept(wanted) : null);

  /**
   * Shows the position of the photo with that id among those found.
   *
   * @param {string} id
   */
  function arrived(id) {
    here = id;
    const all = found();
    const at = all?.at(id) ?? -1;
    $("walk").hidden = at < 0;
    if (all === null || at < 0) return "";
    all.looked = id;
    all.keep();
    $("previous").setAttribute("aria-disabled", String(at === 0));
    $("next").setAttribute("aria-disabled", String(at === all.items.length - 1 && all.next === null));
    const place = t(all.next === null ? "photo.place" : "photo.place_more", { n: at + 1, total: all.items.length });
    $("place").textContent = place;
    return place;
  }

  /**
   * Goes `by` photos on. At the last one, more are fetched.
   *
   * @param {number} by
   * @returns {Promise<void>}
   */
  async function go(by) {
    const all = found();
    const at = all?.at(here) ?? -1;
    if (all === null || at < 0) return;
    going.abort();
    going = new AbortController();
    try {
      while (at + by >= all.items.length && all.next !== null) await all.more(going.signal);
    } catch (error) {
      return complain($("problem"), error, () => go(by));
    }
    const next = all.items[at + by];
    if (next) show(next.assetId);
  }

  $("previous").addEventListener("click", () => go(-1));
  $("next").addEventListener("click", () => go(1));
  return { arrived, go };
}
