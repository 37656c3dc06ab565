// Saved searches. They are kept in this browser, for each of its users apart, also after signing out.

import { $, make } from "./dom.js";
import { labelOf } from "./filters.js";
import { addressOf, isAsked } from "./search_request.js";
import { t } from "./texts.js";

const MOST = 50;

/**
 * Lets the reader save the search that is shown, and return to those saved. The result is to be called with each search.
 *
 * @param {Me} me
 */
export function saving(me) {
  const place = `saved-searches:${me.id}`;
  /** @type {SearchRequest | null} */
  let shown = null;

  /** @returns {SearchRequest[]} the last one first */
  function saved() {
    try {
      const kept = JSON.parse(localStorage.getItem(place) ?? "[]");
      return kept.filter((/** @type {SearchRequest} */ each) => typeof each.q === "string" && Array.isArray(each.filters));
    } catch {
      return []; // the browser keeps nothing, or somebody else wrote there
    }
  }

  /** @param {SearchRequest[]} searches */
  function keep(searches) {
    try {
      if (searches.length) localStorage.setItem(place, JSON.stringify(searches.slice(0, MOST)));
      else localStorage.removeItem(place);
    } catch {
      $("said").textContent = t("search.not_saved");
    }
    update();
  }

  /** @param {SearchRequest} search */
  const without = (search) => saved().filter((each) => addressOf(each) !== addressOf(search));

  function update() {
    const searches = saved();
    const { list, save } = { list: $("saved-list"), save: $("save") };
    $("saved").hidden = !searches.length;
    list.replaceChildren(...searches.map((search) => {
      const name = nameOf(search);
      return make("li", {},
        make("a", { href: addressOf(search) }, name),
        make("button", { type: "button", class: "quiet", "aria-label": t("search.forget", { name }), onclick: () => forget(search) }, "×"),
      );
    }));
    save.hidden = shown === null || !isAsked(shown) || shown.like !== null;
    if (shown === null || save.hidden) return;
    const now = addressOf(shown);
    const kept = searches.some((each) => addressOf(each) === now);
    save.setAttribute("aria-pressed", String(kept));
    save.textContent = t(kept ? "search.saved_this" : "search.save");
  }

  /** @param {SearchRequest} search */
  function forget(search) {
    keep(without(search));
    (/** @type {HTMLElement | null} */ ($("saved-list").querySelector("button")) ?? $("q")).focus();
  }

  $("save").addEventListener("click", () => {
    if (shown === null) return;
    keep($("save").getAttribute("aria-pressed") === "true" ? without(shown) : [shown, ...without(shown)]);
  });
  window.addEventListener("storage", (event) => event.key === place && update()); // another tab saved one

  return (/** @type {SearchRequest} */ wanted) => {
    shown = wanted;
    update();
  };
}

/** @param {SearchRequest} search */
function nameOf({ q, mode, filters }) {
  const words = mode === "hybrid" || !q ? q : `${q} (${t(`search.${mode === "ocr" ? "ocr" : "clip"}`)})`;
  return [words, ...filters.map(labelOf)].filter(Boolean).join(" · ");
}
