// The photo page: the picture with its text over it, and the same text beside it.

import { ask, picture } from "./api.js";
import { draw } from "./boxes.js";
import { comparison } from "./compare.js";
import { $, complain, make, scriptOf } from "./dom.js";
import { marked, pieces } from "./marks.js";
import { modelName } from "./names.js";
import { start } from "./shell.js";
import { ago, date, t } from "./texts.js";
import { walking } from "./walk.js";
import { addressOf, bare, modeOf, requestOf } from "./search_request.js";
import { zooming } from "./zoom.js";

const PATIENCE = 60; // seconds to wait for a photo to be read again
const AGAIN = 2000; // milliseconds until a photo that waits is looked at again

const wanted = requestOf(new URLSearchParams(location.search));
const query = modeOf(wanted) === "clip" ? "" : wanted.q;
const words = pieces(query);

let id = location.pathname.split("/").at(-1) ?? ""; // from the address, so it is still encoded
const own = () => `/api/assets/${id}`;

/** @param {Photo} asset */
const isPending = ({ state }) => ["waiting", "running"].includes(state);

/** @type {Me} */
let me;
let last = "";
/** @type {number | undefined} */
let timer;
let running = new AbortController(); // aborts the requests about this photo

const zoom = zooming($("stage"), (by) => walk.go(by));
const walk = walking(wanted, go);

/** Shows the photo, and updates it until it neither waits nor is being read. */
async function look() {
  clearTimeout(timer);
  const { signal } = running;
  /** @type {Photo} */
  const asset = await ask(query ? `${own()}?${new URLSearchParams({ q: query })}` : own(), { signal });
  if (signal.aborted) return;
  if (isPending(asset)) timer = setTimeout(() => look().catch((error) => complain($("problem"), error, look)), AGAIN);
  const now = JSON.stringify(asset);
  if (now === last) return; // nothing has changed, so a selection of text stays
  last = now;
  const matched = new Set(asset.matched ?? []);
  describe(asset);
  list(asset, matched);
  offer(asset);
  $("loading").hidden = true;
  $("photo").hidden = false;
  $("photo").removeAttribute("aria-busy");
  overlay(asset, matched, signal).catch((error) => complain($("problem"), error)); // the text does not wait for it
}

/** @param {Photo} asset */
function describe(asset) {
  document.title = document.title.replace(/^.*(?= · )/, asset.fileName);
  $("name").textContent = asset.fileName;
  $("taken").textContent = asset.takenAt ? t("photo.taken", { date: date(asset.takenAt) }) : "";
  $("open").hidden = !asset.immich;
  if (asset.immich && /^https?:/i.test(asset.immich)) $("open").href = asset.immich;
  for (const by of /** @type {const} */ (["meaning", "words"])) {
    $(`like-${by}`).href = addressOf({ q: "", mode: "hybrid", like: { photo: id, by } });
  }
  $("like-words").hidden = !asset.lines.length;
  $("ocr-model").replaceChildren(modelName(asset.ocrModel));
  $("clip-model").replaceChildren(modelName(asset.clipModel));
  $("read-at").textContent = asset.indexedAt ? t("photo.read_at", { date: date(asset.indexedAt) }) : "";
  const said = stateOf(asset);
  $("state").hidden = !said;
  $("state").textContent = said;
  const { failure } = asset;
  $("failure").hidden = !failure;
  if (failure) {
    const retry = asset.own && me.may.reprocess ? make("button", { type: "button", onclick: tryAgain }, t("photo.retry")) : null;
    $("failure").replaceChildren(
      make("p", {}, t("photo.failure", { date: ago(failure.failedAt), n: failure.attempts })),
      make("p", { class: "reason", lang: "en" }, failure.error),
      ...(retry ? [retry] : []),
    );
  }
}

/** @param {Photo} asset */
function stateOf(asset) {
  if (asset.state === "failed") return t(asset.failure?.givenUp === false ? "photo.state_failed_retry" : "photo.state_failed");
  if (asset.state !== "indexed") return t(`photo.state_${asset.state}`);
  return asset.current ? "" : t("photo.older");
}

/**
 * @param {Photo} asset
 * @param {Set<number>} matched
 */
function list({ lines, indexedAt }, matched) {
  $("count").textContent = matched.size
    ? t("photo.matched_lines", { n: matched.size, q: bare(query) })
    : lines.length ? t("photo.text_lines", { n: lines.length }) : "";
  $("lines").replaceChildren(...lines.map(({ text }, line) =>
    make("li", { "data-line": line, class: matched.has(line) ? "matched" : null },
      make("button", {
        type: "button", class: "at", "aria-pressed": "false", "aria-label": t("photo.show_line", { n: line + 1 }),
        onclick: (/** @type {{currentTarget: Element}} */ event) =>
          point(line, event.currentTarget.getAttribute("aria-pressed") !== "true"),
      }, String(line + 1)),
      make("span", { lang: scriptOf(text) }, marked(text, words, matched.has(line))),
    )));
  $("no-text").hidden = lines.length > 0;
  $("no-text").textContent = t(indexedAt ? "photo.no_text" : "photo.no_text_yet");
}

/**
 * @param {Photo} asset
 * @param {Set<number>} matched
 * @param {AbortSignal} signal
 */
async function overlay({ fileName, lines }, matched, signal) {
  const image = $("picture");
  image.alt = t("photo.picture_of", { name: fileName });
  const stage = $("stage");
  try {
    if (!me.may.thumbnails) throw new Error(t("search.no_thumbnails"));
    const address = await picture(id, "preview", signal);
    if (signal.aborted) return URL.revokeObjectURL(address);
    image.src = address;
    await image.decode().finally(() => URL.revokeObjectURL(address));
  } catch (error) {
    if (signal.aborted) return;
    stage.classList.remove("loaded");
    $("no-picture").textContent = t("photo.no_picture", { reason: error.message });
    return;
  }
  if (signal.aborted) return;
  $("no-picture").textContent = "";
  const ratio = image.naturalWidth / image.naturalHeight;
  stage.style.setProperty("--ratio", String(ratio));
  stage.classList.add("loaded");
  if (!zoom.isZoomed()) zoom.reset(image.naturalWidth);
  draw($("boxes"), $("layer"), lines, matched, words, ratio);
}

/**
 * Highlights a line and its box.
 *
 * @param {string} line
 * @param {boolean} on
 */
function light(line, on) {
  for (const element of document.querySelectorAll(`[data-line="${line}"]`)) element.classList.toggle("lit", on);
}

/**
 * Points to one line in the picture, or stops it.
 *
 * @param {number} line
 * @param {boolean} on
 */
function point(line, on) {
  for (const button of document.querySelectorAll(".at")) button.setAttribute("aria-pressed", "false");
  for (const element of document.querySelectorAll(".pointed")) element.classList.remove("pointed");
  if (!on) return;
  document.querySelector(`.lines [data-line="${line}"] .at`)?.setAttribute("aria-pressed", "true");
  for (const element of document.querySelectorAll(`[data-line="${line}"]`)) element.classList.add("pointed");
  document.querySelector(`#boxes [data-line="${line}"]`)?.scrollIntoView({ block: "nearest" });
}

for (const [kind, on] of /** @type {const} */ ([["pointerover", true], ["pointerout", false]])) {
  $("photo").addEventListener(kind, (event) => {
    const element = /** @type {Element} */ (event.target).closest("[data-line]");
    const line = /** @type {HTMLElement | null} */ (element)?.dataset.line;
    if (line !== undefined) light(line, on);
  });
}

// Reading again

/** @returns {NodeListOf<HTMLButtonElement>} */
const taskButtons = () => document.querySelectorAll("[data-task]");

/**
 * Whether the photo may be read again, and if not, why.
 *
 * @param {Photo} asset
 */
function offer(asset) {
  const reason = !asset.own ? t("photo.not_own") : !me.may.reprocess ? t("photo.may_not") : "";
  $("again-lead").textContent = reason || t("photo.regenerate_lead");
  $("again-lead").classList.toggle("notice", Boolean(reason));
  for (const button of taskButtons()) button.disabled = Boolean(reason);
}

/** @param {boolean} on */
function busy(on) {
  $("again-state").textContent = on ? t("photo.reading") : "";
  $("again-state").classList.toggle("busy", on);
  for (const button of taskButtons()) button.setAttribute("aria-disabled", String(on)); // unlike `disabled` it keeps the focus
}

/** @param {HTMLButtonElement} button */
async function regenerate(button) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const task = /** @type {Task} */ (button.dataset.task);
  const { signal } = running;
  busy(true);
  $("problem").replaceChildren();
  try {
    /** @type {Reprocessed} */
    const answer = await ask(`${own()}/reprocess`, { body: { tasks: [task], wait: PATIENCE }, signal });
    await look();
    if (signal.aborted) return;
    busy(false);
    showOutcome(answer, task);
  } catch (error) {
    if (signal.aborted) return;
    busy(false);
    complain($("again-state"), error);
  }
}

/**
 * Shows old and new, scrolls to it, and moves the focus there, unless the reader has moved it elsewhere.
 *
 * @param {Reprocessed} answer
 * @param {Task} task
 */
function showOutcome(answer, task) {
  const compare = $("compare");
  const outcome = outcomeOf(answer, task);
  $("comparison").replaceChildren(...outcome);
  compare.hidden = false;
  const busyElsewhere = document.activeElement !== document.body && !$("again").contains(document.activeElement)
    && !compare.contains(document.activeElement);
  if (busyElsewhere) {
    $("said").textContent = `${t("compare.heading")}: ${outcome[0].textContent}`;
    return;
  }
  compare.focus({ preventScroll: true });
  compare.scrollIntoView({ block: "start" });
}

/**
 * @param {Reprocessed} answer
 * @param {Task} task
 */
function outcomeOf(answer, task) {
  if (answer.state === "indexed") return comparison(answer, task);
  if (answer.state === "failed") {
    return [make("p", { class: "notice bad" }, t("compare.failed", { reason: answer.failure?.error ?? "" }))];
  }
  return [make("p", { class: "notice" }, t("compare.waiting"), make("a", { href: "/console/status" }, t("compare.see_status")))];
}

/** @param {{currentTarget: HTMLButtonElement}} event */
async function tryAgain(event) {
  const button = event.currentTarget;
  button.disabled = true;
  button.textContent = t("photo.retrying");
  try {
    await ask(`${own()}/retry`, { method: "POST", signal: running.signal });
    await look();
  } catch (error) {
    complain($("failure"), error, look);
  }
}

for (const button of taskButtons()) button.addEventListener("click", () => regenerate(button));

// From photo to photo

/**
 * Shows another photo instead of this one.
 *
 * @param {string} to
 */
async function go(to) {
  running.abort();
  running = new AbortController();
  id = to;
  last = "";
  history.replaceState(null, "", addressOf(wanted, id));
  busy(false);
  $("compare").hidden = true;
  $("problem").replaceChildren();
  $("photo").setAttribute("aria-busy", "true");
  zoom.reset();
  $("stage").classList.remove("loaded");
  const place = walk.arrived(id);
  await show();
  if (id === to && !$("photo").hidden) $("said").textContent = t("photo.arrived", { name: $("name").textContent, place });
}

async function show() {
  const { signal } = running;
  try {
    await look();
  } catch (error) {
    if (signal.aborted) return;
    $("loading").hidden = true;
    $("photo").hidden = true;
    complain($("problem"), error, error.code === "not_found" ? null : () => location.reload());
  }
}

document.addEventListener("keydown", (event) => {
  const { key } = event;
  const target = /** @type {Element} */ (event.target);
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  if (target.matches("input:not([type=checkbox]), textarea, select") || $("content").hidden) return;
  if (key === "Escape") {
    if (zoom.isZoomed()) zoom.reset($("picture").naturalWidth);
    else $("back").click();
  } else if ((key === "ArrowLeft" || key === "ArrowRight") && !(zoom.isZoomed() && $("stage").contains(target))) {
    walk.go(key === "ArrowLeft" ? -1 : 1);
  }
});

$("back").addEventListener("click", (event) => {
  const { pathname, search } = new URL(document.referrer || location.href);
  const cameFrom = addressOf(requestOf(new URLSearchParams(search)));
  if (pathname !== "/console" || cameFrom !== addressOf(wanted) || history.length < 2) return;
  event.preventDefault(); // the browser still has the page, or goes back by itself
  history.back();
});

await start(async (who) => {
  me = who;
  $("back").href = addressOf(wanted);
  walk.arrived(id);
  await show();
});
