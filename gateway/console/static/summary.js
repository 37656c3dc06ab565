// Says above the photos what was found, and, where nothing was, what to try.

import { $, make } from "./dom.js";
import { addressOf, bare } from "./search_request.js";
import { t } from "./texts.js";

/** @import { Found } from "./found.js" */

/**
 * Says what was found, and what is missing.
 *
 * @param {Found} search
 * @param {Me} me
 */
export function summarise({ answer, items, wanted }, me) {
  if (answer === null) return;
  if (answer.similar) return summariseSimilar(answer.similar, wanted.like?.photo ?? "", items.length > 0, me);
  /** @type {(Node | string)[]} */
  const notes = answer.withoutMeaning ? [t("search.without_meaning")] : [];
  notes.push(...answer.notes.map((note) => make("span", { lang: "en", class: "small" }, note)));
  if (!me.may.thumbnails) notes.push(t("search.no_thumbnails"));
  const { mode, textMatches } = answer;
  const words = bare(wanted.q);
  let said;
  if (!items.length) {
    said = !words ? t("search.none_filtered") : t(mode === "ocr" ? "search.none_words" : "search.none_any", { q: words });
    $("nothing").replaceChildren(...advice(mode, words, wanted.filters));
    $("nothing").hidden = false;
  } else if (mode === "clip") {
    said = t("search.by_meaning");
  } else if (!words) {
    said = t(Number(textMatches) >= 1000 ? "search.found_filtered_many" : "search.found_filtered", { n: Number(textMatches) });
  } else if (!textMatches) {
    said = t("search.only_meaning", { q: words });
  } else {
    const many = textMatches >= 1000;
    said = t(many ? "search.found_many" : "search.found_words", { n: textMatches, q: words });
    if (items.some((item) => item.why.kind === "meaning")) said += t("search.then_meaning");
  }
  $("summary").replaceChildren(said, ...notes.flatMap((note) => [" ", note]));
}

/**
 * @param {SimilarAnswer} similar
 * @param {string} photo the one that they are like
 * @param {boolean} any whether there are photos like it
 * @param {Me} me
 */
function summariseSimilar({ by, fileName, missing }, photo, any, me) {
  const link = make("a", { href: `/console/photo/${encodeURIComponent(photo)}` }, fileName);
  const text = missing ? `search.like_missing_${missing}` : `search.${any ? "like" : "none_like"}_${by}`;
  const [before, after] = t(text, { name: "{name}" }).split("{name}");
  const blank = me.may.thumbnails ? [] : [" ", t("search.no_thumbnails")];
  $("summary").replaceChildren(before, link, after, ...(any ? blank : []));
}

/**
 * Advice for when nothing was found.
 *
 * @param {Mode} mode
 * @param {string} q
 * @param {string[]} narrowed the filters
 */
function advice(mode, q, narrowed) {
  /**
   * @param {string} text
   * @param {string} href
   */
  const link = (text, href) => make("a", { href }, text);
  return [
    make("ul", {},
      narrowed.length ? make("li", {}, t("search.none_try_filters")) : null,
      mode === "clip" || !q ? null : make("li", {}, t("search.none_try_fewer")),
      mode === "ocr" && q ? make("li", {}, t("search.none_try_meaning"), link(t("search.none_try_meaning_link"), addressOf({ q, mode: "clip", filters: narrowed }))) : null,
      make("li", {}, t("search.none_try_status"), link(t("search.none_try_status_link"), "/console/status")),
    ),
  ];
}
