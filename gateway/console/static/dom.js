// Making elements. Whatever comes from photos becomes text nodes: there is no way to hand over HTML.

import { ApiError } from "./api.js";
import { t } from "./texts.js";

export const $ = (id) => document.getElementById(id);

/** An element with attributes and children; a child that is a string becomes text, one that is null nothing. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (attribute.startsWith("on")) element.addEventListener(attribute.slice(2), value);
    else element.setAttribute(attribute, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const hidden = (text) => make("span", { class: "hidden" }, text);

/** What language a photo's text is in, as far as its script tells: right glyphs, and the right voice to read it. */
export function scriptOf(text) {
  if (/[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(text)) return "ja";
  if (/\p{Script=Hangul}/u.test(text)) return "ko";
  return /\p{Script=Han}/u.test(text) ? "zh" : null;
}

/** Shows an error, with what to do and a way to try again where there is one. Nothing where it was only broken off. */
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
