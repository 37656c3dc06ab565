// Shortens the names of models. A full name says everything that its results depend on.

import { make } from "./dom.js";
import { t } from "./texts.js";

/**
 * A short name, and below it the full one, in which also models with other settings or weights differ.
 *
 * @param {string | null} name
 */
export function modelName(name) {
  if (!name) return t("page.none");
  const short = shortName(name);
  return make("span", { class: "model" }, short, short === name ? null : make("small", {}, name));
}

/**
 * The short name.
 *
 * @param {string | null} name
 */
export function shortName(name) {
  if (!name) return t("page.none");
  const [engine, version] = name.split(" ");
  const generation = /PP-OCRv\d+/.exec(name)?.[0];
  if (generation) return `${generation} (${engine} ${version})`;
  return name.replace(/[ :@][0-9a-f]{8,}(?= \(demo\)$|$)/, "");
}
