// A search as it is written in an address, so that it can be kept, shared and returned to.

const OCR = /^\s*ocr\s*[:：]\s*/i;

/**
 * The search in the parameters of an address.
 *
 * @param {URLSearchParams} parameters
 * @returns {SearchRequest}
 */
export function requestOf(parameters) {
  return { q: parameters.get("q")?.trim() ?? "", mode: parameters.get("mode") ?? "hybrid" };
}

/**
 * The address of the search page for a search, or of the page of a photo that it found.
 *
 * @param {SearchRequest} wanted
 * @param {string | null} photo
 */
export function addressOf({ q, mode }, photo = null) {
  const parameters = new URLSearchParams(q ? { q } : {});
  if (q && mode !== "hybrid") parameters.set("mode", mode);
  const query = parameters.size ? `?${parameters}` : "";
  return (photo === null ? "/console" : `/console/photo/${photo}`) + query;
}

/**
 * The mode of a search: `ocr:` in front overrides the chosen one.
 *
 * @param {SearchRequest} wanted
 */
export const modeOf = ({ q, mode }) => (OCR.test(q) ? "ocr" : mode);

/**
 * The words without the `ocr:` in front.
 *
 * @param {string} q
 */
export const bare = (q) => q.replace(OCR, "");
