// Lines of text over a picture: the outline of each, and its text, which is invisible and can be selected.

import { make, scriptOf } from "./dom.js";
import { marked } from "./marks.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Draws lines over a picture.
 *
 * @param {SVGSVGElement} outlines over the picture, its viewBox from 0 to 1
 * @param {HTMLElement} layer over the picture
 * @param {Line[]} lines
 * @param {Set<number>} matched numbers of the lines that match
 * @param {string[]} words what matches in them
 * @param {number} ratio width of the picture over its height
 */
export function draw(outlines, layer, lines, matched, words, ratio) {
  outlines.replaceChildren(...lines.map(({ box }, line) => {
    const outline = document.createElementNS(SVG, "polygon");
    outline.setAttribute("points", box.join(" "));
    outline.dataset.line = String(line);
    outline.classList.toggle("matched", matched.has(line));
    return outline;
  }));
  const texts = lines.map(({ text, box }, line) => {
    // In a tall box the direction of the text is not known. So the whole box is marked, not a word in a wrong place.
    const tall = isTall(text, shape(box, ratio));
    return make("span", { "data-line": line, lang: scriptOf(text), class: tall ? "tall" : null },
      marked(text, tall ? [] : words, matched.has(line)));
  });
  layer.replaceChildren(...texts.flatMap((text) => [text, make("br")])); // line breaks for text that is copied
  lines.forEach(({ box }, line) => fit(texts[line], box, ratio, layer));
}

/**
 * Puts a text onto its box, with the angle, height and width of the box. The unit is the picture's width, so it scales along.
 *
 * @param {HTMLElement} element
 * @param {Box} box
 * @param {number} ratio
 * @param {HTMLElement} layer
 */
function fit(element, box, ratio, layer) {
  const { across, height, angle } = shape(box, ratio);
  const tall = element.classList.contains("tall");
  const size = tall ? across : height;
  element.style.setProperty("left", `${100 * box[0]}%`);
  element.style.setProperty("top", `${100 * box[1]}%`);
  element.style.setProperty("font-size", `${80 * size}cqw`);
  element.style.setProperty("line-height", `${100 * size}cqw`);
  const natural = (tall ? element.offsetHeight : element.offsetWidth) / layer.offsetWidth;
  const stretched = natural ? (tall ? height : across) / natural : 1;
  element.style.setProperty("transform", `rotate(${angle}rad) scale${tall ? "Y" : "X"}(${stretched})`);
}

/**
 * Width and height, in widths of the picture, and the angle of the upper edge, clockwise.
 *
 * @param {Box} box
 * @param {number} ratio
 */
function shape([x1, y1, x2, y2, , , x4, y4], ratio) {
  /** @param {number} y */
  const down = (y) => y / ratio;
  return {
    across: Math.hypot(x2 - x1, down(y2 - y1)),
    height: Math.hypot(x4 - x1, down(y4 - y1)),
    angle: Math.atan2(down(y2 - y1), x2 - x1),
  };
}

/**
 * @param {string} text
 * @param {{across: number, height: number}} shape
 */
const isTall = (text, { across, height }) => height > 1.5 * across && [...text].length > 1;
