// Marks the words that were searched for in a text.

import { make } from "./dom.js";

/**
 * The pieces that a query asks for: words and "phrases", without those that it excludes.
 *
 * @param {string} query
 */
export function pieces(query) {
  const text = query.normalize("NFKC").replace(/^\s*ocr\s*[:：]/i, "").replace(/[“”„«»『』「」]/g, '"');
  const found = [];
  for (const [, minus, phrase, word] of text.matchAll(/(-?)(?:"([^"]*)(?:"|$)|([^\s"]+))/g)) {
    // The search treats punctuation like a space, and so does this.
    if (!minus) found.push(...(phrase ?? word).toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean));
  }
  return [...new Set(found)];
}

/**
 * Nodes of `text`, with those pieces in <mark>. If none is found but `matched` is true, the whole text is marked.
 *
 * @param {string} text
 * @param {string[]} words
 * @param {boolean} matched
 */
export function marked(text, words, matched) {
  if (!matched) return [text];
  const spans = merged(words.flatMap((word) => places(text, word)));
  if (!spans.length) return [make("mark", {}, text)];
  const nodes = [];
  let at = 0;
  for (const [from, to] of spans) {
    nodes.push(text.slice(at, from), make("mark", {}, text.slice(from, to)));
    at = to;
  }
  return [...nodes, text.slice(at)].filter((node) => node !== "");
}

/**
 * @param {string} text
 * @param {string} word
 */
function places(text, word) {
  const { form, origins } = folded(text);
  /** @type {Span[]} */
  const found = [];
  for (let at = form.indexOf(word); at >= 0; at = form.indexOf(word, at + 1)) {
    found.push([origins[at], origins[at + word.length]]);
  }
  return found;
}

/**
 * The text in half width and lower case, and for each of its units the position in the original text.
 *
 * @param {string} text
 */
function folded(text) {
  let form = "";
  const origins = [];
  let at = 0;
  for (const character of text) {
    const plain = character.normalize("NFKC").toLowerCase();
    for (let unit = 0; unit < plain.length; unit++) origins.push(at);
    form += plain;
    at += character.length;
  }
  origins.push(at);
  return { form, origins };
}

/**
 * @typedef {[number, number]} Span
 * @param {Span[]} spans
 */
function merged(spans) {
  /** @type {Span[]} */
  const all = [];
  for (const [from, to] of spans.sort((a, b) => a[0] - b[0])) {
    const last = all.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else all.push([from, to]);
  }
  return all;
}
