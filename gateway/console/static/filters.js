// Filters: fields and their values beside the words, such as `person:张三`, as chips that can be removed.

import { $, make, scriptOf } from "./dom.js";
import { has, t } from "./texts.js";

/**
 * The filters with another one. There is only one date, the last.
 *
 * @param {string[]} filters
 * @param {string} filter
 */
export function including(filters, filter) {
  const others = filter.startsWith("date:") ? filters.filter((each) => !each.startsWith("date:")) : filters;
  return others.includes(filter) ? others : [...others, filter];
}

/**
 * Shows the filters as chips.
 *
 * @param {string[]} filters
 * @param {(rest: string[]) => unknown} changed is called with those that are left
 */
export function showChips(filters, changed) {
  $("filters").hidden = !filters.length;
  $("filters").replaceChildren(...filters.map((filter) => {
    const { kind, value } = parts(filter);
    return make("li", {},
      make("button", {
        type: "button", class: "chip", "aria-label": t("search.remove_filter", { name: labelOf(filter) }),
        onclick: () => changed(filters.filter((each) => each !== filter)),
      },
        kind && make("span", { class: "kind" }, kind),
        make("span", { lang: scriptOf(value) }, value),
        make("span", { class: "cross", "aria-hidden": "true" }, "×"),
      ));
  }));
}

/**
 * A filter in words: "Person 张三".
 *
 * @param {string} filter
 */
export function labelOf(filter) {
  const { kind, value } = parts(filter);
  return kind === null ? value : `${kind} ${value}`;
}

/** @param {string} filter */
function parts(filter) {
  const [, field, value] = /^([a-z]+):(.*)$/s.exec(filter) ?? [];
  if (!field || !has(`search.kind_${field}`)) return { kind: null, value: filter };
  return { kind: t(`search.kind_${field}`), value: field === "date" ? value.replace("..", " – ").trim() : value };
}

/**
 * Lets the reader choose a range of days.
 *
 * @param {(filter: string) => unknown} chosen
 */
export function choosingDays(chosen) {
  $("apply").addEventListener("click", () => {
    const [from, to] = [$("from").value, $("to").value];
    if (!from && !to) return $("from").focus();
    $("when").open = false;
    chosen(`date:${from && to && from > to ? `${to}..${from}` : `${from}..${to}`}`);
  });
}
