// Asks the gateway's API, with the key that the reader signed in with. The key is kept in sessionStorage only.

import { has, t } from "./texts.js";

const KEY = "immich-api-key";

export const key = {
  get: () => sessionStorage.getItem(KEY),
  /** @param {string} value */
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.clear(), // with it goes what was found
};

/** An error. `code`: the gateway's name of it. `message`: what to do, in the reader's language. `details`: in English. */
export class ApiError extends Error {
  /**
   * @param {number} status of HTTP; 0: there was no answer
   * @param {string} code
   * @param {string} details
   */
  constructor(status, code, details) {
    super(explained(code, details));
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

/**
 * @param {string} code
 * @param {string} details
 */
function explained(code, details) {
  const permission = code === "forbidden" && /permission ([\w.]+)/.exec(details)?.[1];
  if (permission) return t("error.lacking", { permission });
  return t(has(`error.${code}`) ? `error.${code}` : "error.other");
}

/**
 * @typedef {Omit<RequestInit, "body" | "headers"> & {body?: unknown, asking?: string | null}} Options
 *     those of `fetch`, but `body` is sent as JSON, and `asking` is the key to use.
 */

/**
 * The response to a request. Throws an ApiError.
 *
 * @param {string} path
 * @param {Options} options
 */
async function request(path, { body, asking = key.get(), ...options } = {}) {
  const headers = new Headers({ "x-api-key": asking ?? "" });
  /** @type {RequestInit} */
  const sent = { headers, credentials: "omit", cache: "no-store", ...options };
  if (body !== undefined) {
    headers.set("content-type", "application/json");
    sent.method ??= "POST";
    sent.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, sent);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "network", "");
  }
  if (response.ok) return response;
  throw failed(response.status, await response.json().catch(() => ({})), asking);
}

/**
 * The error in an answer. Where the key is no longer valid, an event tells the page.
 *
 * @param {number} status
 * @param {{error?: string, message?: string}} answer
 * @param {string | null} asking
 */
function failed(status, { error: code = "other", message = `HTTP ${status}` }, asking = key.get()) {
  const failure = new ApiError(status, code, message);
  if (code === "unauthorized" && asking === key.get()) document.dispatchEvent(new CustomEvent("signed-out", { detail: failure }));
  return failure;
}

/**
 * The answer to a request, from JSON.
 *
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<any>} of the type that the path answers with (types.d.ts)
 */
export async function ask(path, options) {
  const response = await request(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "network", "");
  }
}

/**
 * A photo as an address for `img.src`, which is valid until it is revoked.
 *
 * @param {string} asset
 * @param {"thumbnail" | "preview"} size
 * @param {AbortSignal} signal
 */
export async function picture(asset, size, signal) {
  const response = await request(`/api/assets/${encodeURIComponent(asset)}/thumbnail?size=${size}`, { signal, cache: "default" });
  return URL.createObjectURL(await response.blob());
}

/**
 * A person's face as an address for `img.src`.
 *
 * @param {string} person
 */
export async function face(person) {
  const response = await request(`/api/people/${encodeURIComponent(person)}/thumbnail`, { cache: "default" });
  return URL.createObjectURL(await response.blob());
}

/**
 * The objects of an event stream, as they arrive, until it ends or `signal` aborts. An EventSource cannot send the key.
 *
 * @param {string} path
 * @param {AbortSignal} signal
 */
export async function* events(path, signal) {
  const response = await request(path, { signal });
  if (response.body === null) throw new ApiError(0, "network", "");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch {
      if (signal.aborted) return;
      throw new ApiError(0, "network", "");
    }
    if (piece.done) return;
    const blocks = (rest + piece.value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const { event, data } = fields(block);
      if (event === "error") throw failed(0, data);
      if (data) yield data;
    }
  }
}

/** @param {string} block */
function fields(block) {
  const lines = block.split("\n");
  /** @param {string} name */
  const named = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trim());
  const data = named("data").join("\n");
  return { event: named("event").at(-1), data: data && JSON.parse(data) };
}
