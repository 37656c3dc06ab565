// Making elements. Whatever comes from photos becomes text nodes: there is no way to hand over HTML.

import { ApiError } from "./api.js";
import { t } from "./texts.js";

/**
 * The element of that id, which the page has.
 *
 * @template {string} Id
 * @param {Id} id
 * @returns {Id extends keyof Parts ? Parts[Id] : HTMLElement}
 */
export const $ = (id) => /** @type {any} */ (document.getElementById(id));

/**
 * An element with attributes and children; a child that is a string becomes text, one that is null nothing.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, unknown>} [attributes] a function is what an event calls
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
 * What language a photo's text is in, as far as its script tells: right glyphs, and the right voice to read it.
 *
 * @param {string} text
 */
export function scriptOf(text) {
  if (/[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(text)) return "ja";
  if (/\p{Script=Hangul}/u.test(text)) return "ko";
  return /\p{Script=Han}/u.test(text) ? "zh" : null;
}

/**
 * Shows an error, with what to do and a way to try again where there is one. Nothing where it was only broken off.
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
