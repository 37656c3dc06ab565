// A search as it is written in an address, so that it can be kept, shared and returned to.

const OCR = /^\s*ocr\s*[:：]\s*/i;

/**
 * The search in the parameters of an address.
 *
 * @param {URLSearchParams} parameters
 * @returns {SearchRequest}
 */
export function requestOf(parameters) {
  const photo = parameters.get("like");
  /** @type {Like | null} */
  const like = photo ? { photo, by: parameters.get("by") === "words" ? "words" : "meaning" } : null;
  return { q: like ? "" : parameters.get("q")?.trim() ?? "", mode: parameters.get("mode") ?? "hybrid", like };
}

/**
 * The address of the search page for a search, or of the page of a photo that it found.
 *
 * @param {Omit<SearchRequest, "like"> & {like?: Like | null}} wanted
 * @param {string | null} photo
 */
export function addressOf({ q, mode, like = null }, photo = null) {
  const parameters = new URLSearchParams(q ? { q } : {});
  if (q && mode !== "hybrid") parameters.set("mode", mode);
  if (like) {
    parameters.set("like", like.photo);
    parameters.set("by", like.by);
  }
  const query = parameters.size ? `?${parameters}` : "";
  return (photo === null ? "/console" : `/console/photo/${photo}`) + query;
}

/**
 * Whether anything is searched for.
 *
 * @param {SearchRequest} wanted
 */
export const isAsked = ({ q, like }) => Boolean(q || like);

/**
 * The mode of a search: `ocr:` in front overrides the chosen one.
 *
 * @param {Pick<SearchRequest, "q" | "mode">} wanted
 */
export const modeOf = ({ q, mode }) => (OCR.test(q) ? "ocr" : mode);

/**
 * The words without the `ocr:` in front.
 *
 * @param {string} q
 */
export const bare = (q) => q.replace(OCR, "");
