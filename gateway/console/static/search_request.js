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
  const mode = parameters.get("mode") ?? "hybrid";
  if (like) return { q: "", mode, filters: [], like };
  return { q: parameters.get("q")?.trim() ?? "", mode, filters: parameters.getAll("filter"), like };
}

/**
 * A search in words as parameters of the API.
 *
 * @param {Pick<SearchRequest, "q" | "mode" | "filters">} wanted
 */
export function parametersOf({ q, mode, filters }) {
  const parameters = new URLSearchParams(q ? { q } : {});
  parameters.set("mode", mode);
  for (const filter of filters) parameters.append("filter", filter);
  return parameters;
}

/**
 * The address of the search page for a search, or of the page of a photo that it found.
 *
 * @param {Pick<SearchRequest, "q" | "mode"> & Partial<SearchRequest>} wanted
 * @param {string | null} photo
 */
export function addressOf({ q, mode, filters = [], like = null }, photo = null) {
  const parameters = parametersOf({ q, mode, filters });
  if (!q || mode === "hybrid") parameters.delete("mode");
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
export const isAsked = ({ q, filters, like }) => Boolean(q || filters.length || like);

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
