// Suggests what the reader may be typing: a list below the box, for keyboard, mouse and finger (WAI-ARIA's combobox).

import { ask, face } from "./api.js";
import { $, make, scriptOf } from "./dom.js";
import { t } from "./texts.js";

const PAUSE = 60; // milliseconds without a key until the gateway is asked

/**
 * Suggests while the reader types into the search box. A word that is chosen completes what was typed. A name becomes a
 * filter, and `chosen` is called with it, unless it is to be left out, or one of several.
 *
 * @param {Me} me
 * @param {(filter: string | null) => unknown} chosen
 */
export function suggesting(me, chosen) {
  const box = $("q");
  const list = $("suggestions");
  /** @type {Suggested} */
  let shown = { before: "", items: [] };
  let at = -1; // the option that the arrow keys have reached
  let asking = new AbortController();
  /** @type {number | undefined} */
  let timer;
  /** @type {Map<string, Promise<string>>} */
  const faces = new Map();

  function close() {
    clearTimeout(timer);
    asking.abort();
    list.hidden = true;
    at = -1;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  }

  /** @param {Suggested} answer */
  function open(answer) {
    shown = answer;
    at = -1;
    box.removeAttribute("aria-activedescendant");
    list.replaceChildren(...answer.items.map(option));
    list.hidden = !answer.items.length;
    box.setAttribute("aria-expanded", String(!list.hidden));
    $("suggested").textContent = list.hidden ? "" : t("search.suggested", { n: answer.items.length });
  }

  /**
   * @param {Suggestion} item
   * @param {number} number
   */
  function option({ kind, value, personId }, number) {
    const image = make("img", { alt: "", width: 28, height: 28, hidden: true });
    if (personId !== null && me.may.faces) show(personId, image);
    return make("li", { role: "option", id: `suggestion-${number}`, "aria-selected": "false", "data-kind": kind, onclick: () => choose(number) },
      make("span", { class: "face", "aria-hidden": "true" }, image),
      make("span", { class: "value", lang: scriptOf(value) }, value),
      make("span", { class: "kind" }, t(`search.kind_${kind}`)),
    );
  }

  /**
   * @param {string} person
   * @param {HTMLImageElement} image
   */
  async function show(person, image) {
    const known = faces.get(person) ?? face(person);
    faces.set(person, known);
    try {
      image.src = await known;
      image.hidden = false;
    } catch {
      // it has none, and the name says who it is
    }
  }

  /** @param {number} number */
  function reach(number) {
    at = number;
    [...list.children].forEach((each, place) => each.setAttribute("aria-selected", String(place === at)));
    const reached = list.children[at];
    if (reached) box.setAttribute("aria-activedescendant", reached.id);
    else box.removeAttribute("aria-activedescendant");
    reached?.scrollIntoView({ block: "nearest" });
  }

  /** @param {number} number */
  function choose(number) {
    const item = shown.items[number];
    const isFilter = item.kind !== "word" && !/(^|\s)(-|OR\s+)$/.test(shown.before);
    box.value = isFilter ? shown.before : `${shown.before}${written(item)} `;
    close();
    box.focus();
    chosen(isFilter ? `${item.kind}:${item.value}` : null);
  }

  function typed() {
    clearTimeout(timer);
    asking.abort();
    const q = box.value;
    if (!q.trim() || /\s$/.test(q) || box.selectionEnd !== q.length) return close();
    const { signal } = asking = new AbortController();
    timer = setTimeout(async () => {
      try {
        const answer = await ask(`/api/suggest?${new URLSearchParams({ q })}`, { signal });
        if (!signal.aborted) open(answer);
      } catch (error) {
        if (error.name !== "AbortError") close(); // the search itself will say what is wrong
      }
    }, PAUSE);
  }

  box.addEventListener("input", (event) => {
    if (!(/** @type {InputEvent} */ (event).isComposing)) typed();
  });
  box.addEventListener("compositionend", typed);
  box.addEventListener("blur", close);
  list.addEventListener("pointerdown", (event) => event.preventDefault()); // the box keeps the focus
  box.addEventListener("keydown", (event) => {
    if (list.hidden || event.isComposing) return;
    const count = list.children.length;
    if (event.key === "ArrowDown") reach(at + 1 === count ? -1 : at + 1);
    else if (event.key === "ArrowUp") reach(at < 0 ? count - 1 : at - 1);
    else if (event.key === "Enter" && at >= 0) choose(at);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  return { close };
}

/**
 * A suggestion as it is typed: a name behind its field, in quotes where a blank or a sign would end it.
 *
 * @param {Suggestion} item
 */
function written({ kind, value }) {
  const plain = /^[\p{L}\p{N}]+$/u.test(value) ? value : `"${value.replaceAll('"', " ")}"`;
  return kind === "word" ? plain : `${t(`search.field_${kind}`)}:${plain}`;
}
