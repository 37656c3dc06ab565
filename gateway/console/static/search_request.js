// What is looked for, as it stands in the address: so it can be kept, shared and gone back to.

const OCR = /^\s*ocr\s*[:：]\s*/i;

/**
 * What the parameters of an address ask for.
 *
 * @param {URLSearchParams} parameters
 * @returns {SearchRequest}
 */
export function requestOf(parameters) {
  return { q: parameters.get("q")?.trim() ?? "", mode: parameters.get("mode") ?? "hybrid" };
}

/**
 * The address of the search page for a wanted; or of a photo's, as one of those found.
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
 * How a wanted is searched for: `ocr:` in front goes before what was chosen.
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
