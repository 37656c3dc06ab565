// The texts of the page, which the server has put into it, and numbers and times in its language.

/** @type {Record<string, Record<string, string | Record<string, string>>>} */
const texts = JSON.parse(/** @type {HTMLElement} */ (document.getElementById("texts")).textContent);
const language = document.documentElement.lang;
const plural = new Intl.PluralRules(language);
const integers = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const dates = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" });
const days = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });

/** @type {[Intl.RelativeTimeFormatUnitSingular, number][]} */
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** @param {string} name */
function find(name) {
  const [section, text] = name.split(".");
  return texts[section]?.[text];
}

/** @param {string} name */
export const has = (name) => find(name) !== undefined;

/**
 * The text of that name, with its {places} filled. In a text with a number, `n` decides the plural form.
 *
 * @param {string} name
 * @param {Record<string, string | number>} values
 */
export function t(name, values = {}) {
  let text = find(name) ?? name;
  if (typeof text === "object") text = text[plural.select(Number(values.n))] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, place) => {
    const value = values[place];
    return typeof value === "number" ? number(value) : String(value);
  });
}

/** @param {number} value */
export const number = (value) => integers.format(value);

/**
 * Numbers below 10 have one digit after the decimal point.
 *
 * @param {number} value
 */
export const rate = (value) => new Intl.NumberFormat(language, { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);

/** @param {number} share */
export const percent = (share) =>
  new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 }).format(Math.floor(share * 1000) / 1000);

/**
 * The difference of two shares, in points of a hundred, with its sign.
 *
 * @param {number} difference
 */
export const points = (difference) =>
  new Intl.NumberFormat(language, { signDisplay: "exceptZero", minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(100 * difference);

/**
 * A number with three digits at most.
 *
 * @param {number} value
 */
export const few = (value) => new Intl.NumberFormat(language, { maximumSignificantDigits: 3 }).format(value);

/**
 * A similarity, with so many digits that only 1 itself is shown as 1.
 *
 * @param {number} cosine
 */
export const similarity = (cosine) =>
  new Intl.NumberFormat(language, { minimumFractionDigits: 4, maximumFractionDigits: 4, roundingMode: "floor" }).format(cosine);

/** @param {string} iso */
export const date = (iso) => dates.format(new Date(iso));

/** @param {string} iso */
export const day = (iso) => days.format(new Date(iso));

/**
 * "5 minutes ago"
 *
 * @param {string | Date} when
 */
export function ago(when) {
  const seconds = (Date.now() - new Date(when).getTime()) / 1000;
  const [unit, length] = UNITS.find(([, size]) => seconds >= size) ?? ["second", 1];
  return relative.format(-Math.max(0, Math.round(seconds / length)), unit);
}

/**
 * "3 minutes", rounded up, because it is a time to wait.
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  const [unit, length] = UNITS.find(([, size]) => seconds > size) ?? ["second", 1];
  const format = new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" });
  return format.format(Math.max(1, Math.ceil(seconds / length)));
}
