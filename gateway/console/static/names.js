// Names of models, which say everything that their results depend on, as people call them.

import { make } from "./dom.js";
import { t } from "./texts.js";

/**
 * A short name, and below it the whole, which tells models apart that only differ in a setting or in their weights.
 *
 * @param {string | null} name
 */
export function modelName(name) {
  if (!name) return t("page.none");
  const short = shortName(name);
  return make("span", { class: "model" }, short, short === name ? null : make("small", {}, name));
}

/**
 * What is enough where there is nothing to tell it from.
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
