// Makes elements. Texts always become text nodes: HTML cannot be passed in.

import { ApiError } from "./api.js";
import { t } from "./texts.js";

/**
 * The element with that id. The page has it.
 *
 * @template {string} Id
 * @param {Id} id
 * @returns {Id extends keyof Parts ? Parts[Id] : HTMLElement}
 */
export const $ = (id) => /** @type {any} */ (document.getElementById(id));

/**
 * An element with attributes and children. A string becomes a text node, null is left out.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, unknown>} [attributes] a function is the listener of an event
 * @param {Children[]} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(attribute.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(attribute, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/** @param {string} text */
export const hidden = (text) => make("span", { class: "hidden" }, text);

/**
 * The language of a photo's text, guessed from its script. Browsers choose glyphs and a screen reader's voice by it.
 *
 * @param {string} text
 */
export function scriptOf(text) {
  if (/[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(text)) return "ja";
  if (/\p{Script=Hangul}/u.test(text)) return "ko";
  return /\p{Script=Han}/u.test(text) ? "zh" : null;
}

/**
 * Shows an error, with what to do, and a button to try again if `again` is given. Aborted requests show nothing.
 *
 * @param {HTMLElement} place
 * @param {any} error
 * @param {(() => unknown) | null} again
 */
export function complain(place, error, again = null) {
  if (error?.name === "AbortError") return;
  if (!(error instanceof ApiError)) console.error(error);
  const message = error instanceof ApiError ? error.message : t("error.other");
  const details = error instanceof ApiError && error.details && error.code !== "not_found" ? error.details : null;
  place.replaceChildren(
    make("div", { class: "notice bad" },
      make("p", {}, message),
      details && make("p", { class: "small", lang: "en" }, t("error.details", { message: details })),
      again && make("button", { type: "button", onclick: again }, t("error.retry")),
    ),
  );
}
