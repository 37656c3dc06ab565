// How many of the photos found were taken in each year.

import { ask } from "./api.js";
import { $, make } from "./dom.js";
import { modeOf, parametersOf } from "./search_request.js";
import { number, t } from "./texts.js";

const MOST = 1000; // photos that the gateway counts in a year

/**
 * Shows the years of a search as buttons. One year alone says nothing.
 *
 * @param {SearchRequest} wanted
 * @param {AbortSignal} signal
 * @param {(filter: string) => unknown} chosen is called with the filter for a year
 */
export async function showYears(wanted, signal, chosen) {
  if (wanted.like || modeOf(wanted) === "clip") return;
  /** @type {YearsAnswer} */
  let answer;
  try {
    answer = await ask(`/api/search/years?${parametersOf(wanted)}`, { signal });
  } catch {
    return; // the search itself says what is wrong
  }
  if (signal.aborted || answer.years.length < 2) return;
  $("years").replaceChildren(...answer.years.map(({ year, photos }) => {
    const count = `${number(photos)}${photos < MOST ? "" : "+"}`;
    return make("li", {},
      make("button", { type: "button", class: "chip", "aria-label": t("search.year", { year: String(year), n: photos }), onclick: () => chosen(`date:${year}`) },
        String(year), make("span", { class: "kind" }, count)));
  }));
  $("years").hidden = false;
}
