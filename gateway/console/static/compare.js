// Shows what was read before beside what was read now.

import { make, scriptOf } from "./dom.js";
import { modelName, shortName } from "./names.js";
import { similarity, t } from "./texts.js";

const SHORT = 3; // unchanged lines in a row that are shown; the others are folded

/**
 * Elements that show both. `answer` is that of POST /api/assets/{id}/reprocess, `task` what was asked for.
 *
 * @param {Compared} answer
 * @param {Task} task
 */
export function comparison(answer, task) {
  return task === "ocr" ? texts(answer.before, answer.after) : vectors(answer);
}

/**
 * @param {Reading} before
 * @param {Reading} after
 */
function texts(before, after) {
  const pairs = aligned(before.lines.map((line) => line.text), after.lines.map((line) => line.text));
  const changes = pairs.filter(([old, now]) => old !== now).length;
  return [
    make("p", {}, changes ? t("compare.changed_text", { n: changes }) : t("compare.same_text")),
    table(before.ocrModel, after.ocrModel, rows(pairs)),
  ];
}

/** @param {Compared} answer */
function vectors({ before, after, vector }) {
  const said = !vector.changed ? t("compare.vector_same")
    : vector.cosine === null ? t("compare.vector_new") : t("compare.vector_changed", { cosine: similarity(vector.cosine) });
  return [make("p", {}, said), table(before.clipModel, after.clipModel, [])];
}

/**
 * @param {string | null} before
 * @param {string | null} after
 * @param {HTMLElement[]} content
 */
function table(before, after, content) {
  const named = before === after ? shortName : modelName;
  /**
   * @param {string} name
   * @param {string | null} model
   */
  const head = (name, model) => make("th", { scope: "col" }, make("strong", {}, name), named(model));
  return make("table", { class: "versus" },
    make("thead", {}, make("tr", {}, head(t("compare.before"), before), head(t("compare.after"), after))),
    make("tbody", {}, content));
}

/**
 * @typedef {[string | null, string | null]} Pair
 * @param {Pair[]} pairs
 */
function rows(pairs) {
  const all = [];
  for (let at = 0; at < pairs.length; ) {
    let end = at;
    while (end < pairs.length && pairs[end][0] === pairs[end][1]) end += 1;
    if (end - at > SHORT) {
      all.push(make("tr", {}, make("td", { colspan: 2 }, folded(pairs.slice(at, end).map(([text]) => text ?? "")))));
    } else {
      for (const [text] of pairs.slice(at, end)) all.push(make("tr", {}, cell(text), cell(text)));
    }
    if (end < pairs.length) all.push(changed(...pairs[end]));
    at = end + 1;
  }
  return all;
}

/**
 * @param {string | null} text
 * @param {string | null} kind
 */
const cell = (text, kind = null) => make("td", { class: kind, lang: text && scriptOf(text) }, text ?? "");

/** @param {string[]} lines */
function folded(lines) {
  return make("details", {},
    make("summary", {}, t("compare.unchanged", { n: lines.length })),
    make("ul", {}, lines.map((text) => make("li", { lang: scriptOf(text) }, text))));
}

/**
 * A line that has changed, with the difference underlined. One of the two may be missing.
 *
 * @param {string | null} old
 * @param {string | null} now
 */
function changed(old, now) {
  const row = make("tr", {}, cell(old && "", old === null ? null : "gone"), cell(now && "", now === null ? null : "added"));
  const [start, end] = old === null || now === null ? [0, 0] : common(old, now);
  /** @type {[string | null, "del" | "ins"][]} */ ([[old, "del"], [now, "ins"]]).forEach(([text, name], side) => {
    if (text === null) return;
    const middle = text.slice(start, text.length - end);
    row.cells[side].lang = scriptOf(text) ?? "";
    row.cells[side].append(text.slice(0, start), middle && make(name, {}, middle), text.slice(text.length - end));
  });
  return row;
}

/**
 * How many UTF-16 units two texts have in common at their beginning, and then at their end.
 *
 * @param {string} old
 * @param {string} now
 */
function common(old, now) {
  const least = Math.min(old.length, now.length);
  let start = 0;
  while (start < least && old[start] === now[start]) start += 1;
  let end = 0;
  while (end < least - start && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  return [start, end];
}

/**
 * Pairs of lines. Lines of a longest common subsequence are paired with each other, the others in order; null: no partner.
 *
 * @param {string[]} old
 * @param {string[]} now
 */
export function aligned(old, now) {
  const lengths = Array.from({ length: old.length + 1 }, () => new Uint16Array(now.length + 1));
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      lengths[i][j] = old[i] === now[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  /** @type {Pair[]} */
  const pairs = [];
  /** @type {string[]} */
  const gone = [];
  /** @type {string[]} */
  const added = [];
  const flush = () => {
    while (gone.length || added.length) pairs.push([gone.shift() ?? null, added.shift() ?? null]);
  };
  for (let i = 0, j = 0; i < old.length || j < now.length; ) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      flush();
      pairs.push([old[i++], now[j++]]);
    } else if (j === now.length || (i < old.length && lengths[i + 1][j] >= lengths[i][j + 1])) gone.push(old[i++]);
    else added.push(now[j++]);
  }
  flush();
  return pairs;
}
