// The photos that were found last, kept in this tab. So a photo's page can show the next one, and going back shows the same
// place. They are removed when the reader signs out.

import { ask, key } from "./api.js";
import { addressOf, parametersOf } from "./search_request.js";

const KEPT = "found";
const PAGE = 48;
const DEEPEST = 1000; // photos of one search that can be paged through

/**
 * A search, and what it has found so far.
 *
 * `answer`: of GET /api/search for the first page. `items`: all photos that were fetched. `next`: the offset of more (null:
 * there are none). `looked`: the photo that was looked at last. `place`: how far the search page was scrolled.
 */
export class Found {
  /** @type {Answer | null} */
  answer = null;
  /** @type {Item[]} */
  items = [];
  /** @type {number | null} */
  next = 0;
  /** @type {string | null} */
  looked = null;
  place = 0;

  /**
   * @param {SearchRequest} wanted
   * @param {Partial<Found>} kept
   */
  constructor(wanted, kept = {}) {
    Object.assign(this, kept);
    this.wanted = wanted;
  }

  /**
   * What is kept of a search, or null.
   *
   * @param {SearchRequest} wanted
   */
  static kept(wanted) {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    return kept !== null && kept.address === addressOf(wanted) ? new Found(wanted, kept) : null;
  }

  /**
   * Fetches the next page. Returns its photos.
   *
   * @param {AbortSignal} signal
   */
  async more(signal) {
    const answer = this.wanted.like === null ? await this.#search(signal) : await this.#similar(this.wanted.like, signal);
    const known = new Set(this.items.map((item) => item.assetId));
    const items = answer.items.filter((item) => !known.has(item.assetId));
    this.answer ??= { ...answer, items: [] };
    this.items.push(...items);
    this.next = answer.next;
    this.keep();
    return items;
  }

  /**
   * The next page of photos that match words, or show what they mean.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<Answer>}
   */
  #search(signal) {
    const offset = this.next ?? 0;
    const parameters = parametersOf(this.wanted);
    parameters.set("limit", String(Math.min(PAGE, DEEPEST - offset)));
    parameters.set("offset", String(offset));
    return ask(`/api/search?${parameters}`, { signal });
  }

  /**
   * The next page of photos like a photo.
   *
   * @param {Like} like
   * @param {AbortSignal} signal
   * @returns {Promise<Answer>}
   */
  async #similar({ photo, by }, signal) {
    const page = { by, limit: String(PAGE), offset: String(this.next ?? 0) };
    /** @type {SimilarAnswer} */
    const similar = await ask(`/api/assets/${encodeURIComponent(photo)}/similar?${new URLSearchParams(page)}`, { signal });
    const { items, next } = similar;
    return { mode: "hybrid", items, next, textMatches: null, withoutMeaning: false, notes: [], similar: { ...similar, items: [] } };
  }

  /** Keeps all of this in the tab. If it is too large for the browser, nothing is kept. */
  keep() {
    if (!key.get()) return; // signed out meanwhile
    const { answer, items, next, looked, place } = this;
    try {
      sessionStorage.setItem(KEPT, JSON.stringify({ address: addressOf(this.wanted), answer, items, next, looked, place }));
    } catch {
      sessionStorage.removeItem(KEPT);
    }
  }

  /** @param {string | null} asset */
  at(asset) {
    return this.items.findIndex((item) => item.assetId === asset);
  }
}
