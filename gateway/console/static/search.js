// The search page.

import { $, complain, hidden, make, scriptOf } from "./dom.js";
import { choosingDays, including, showChips } from "./filters.js";
import { Found } from "./found.js";
import { marked, pieces } from "./marks.js";
import { saving } from "./saved.js";
import { start } from "./shell.js";
import { suggesting } from "./suggest.js";
import { summarise } from "./summary.js";
import { Thumbnails } from "./thumbnails.js";
import { day, t } from "./texts.js";
import { addressOf, bare, isAsked, modeOf, requestOf } from "./search_request.js";
import { showYears } from "./years.js";

/** @type {Me} */
let me;
/** @type {string} */
let chosen; // the mode, unless `ocr:` is typed in front
/** @type {string[]} */
let filters = []; // those shown as chips
/** @type {Found | null} */
let found = null;
let running = new AbortController();
/** @type {ReturnType<typeof suggesting> | undefined} */
let suggestions;
/** @type {ReturnType<typeof saving>} */
let offerToSave = () => {};
const thumbnails = new Thumbnails();

const inAddress = () => requestOf(new URLSearchParams(location.search));

/** @returns {NodeListOf<HTMLInputElement>} */
const choices = () => document.querySelectorAll("[name=mode]");

/** Shows in which mode the typed text would be searched for. */
function showMode() {
  const mode = modeOf({ q: $("q").value, mode: chosen });
  for (const choice of choices()) choice.checked = choice.value === mode;
}

function clear() {
  running.abort();
  running = new AbortController();
  thumbnails.clear();
  found = null;
  $("results").replaceChildren();
  $("said").textContent = "";
  $("problem").replaceChildren();
  $("nothing").hidden = true;
  $("more").hidden = true;
  $("tips").hidden = true;
  $("years").hidden = true;
}

/** Searches for what is in the address. If the reader comes `back`, shows again what was found. */
async function run(back = false) {
  const wanted = inAddress();
  $("q").value = wanted.q;
  chosen = wanted.mode;
  filters = wanted.filters;
  showChips(filters, narrow);
  offerToSave(wanted);
  showMode();
  clear();
  document.title = document.title.replace(/^.*(?= · )/, wanted.q || t("page.search_title"));
  if (!isAsked(wanted)) {
    $("summary").textContent = "";
    $("tips").hidden = false;
    return;
  }
  const kept = back ? Found.kept(wanted) : null;
  if (kept) return comeBack(kept);
  $("summary").textContent = t("search.searching");
  found = new Found(wanted);
  await fetchMore(found, running.signal);
}

/**
 * Shows again what was found, scrolled to the photo that was looked at last.
 *
 * @param {Found} kept
 */
function comeBack(kept) {
  const shown = found?.items.length ?? 0; // all, if the browser kept the whole page
  found = kept;
  append(kept.items.slice(shown), kept.wanted);
  if (!shown) {
    summarise(kept, me);
    showYears(kept.wanted, running.signal, add);
    window.scrollTo(0, kept.place);
  }
  const link = $("results").children[kept.at(kept.looked)]?.querySelector("a");
  if (!link) return;
  const { top, bottom } = link.getBoundingClientRect();
  if (top < 0 || bottom > window.innerHeight) link.scrollIntoView({ block: "center" });
  link.focus({ preventScroll: true });
}

/**
 * @param {Found} search
 * @param {AbortSignal} signal
 */
async function fetchMore(search, signal) {
  const results = $("results");
  const first = !search.items.length;
  results.setAttribute("aria-busy", "true");
  $("more").disabled = true;
  try {
    const items = await search.more(signal);
    const links = append(items, search.wanted);
    if (first) {
      summarise(search, me);
      showYears(search.wanted, signal, add);
    } else {
      $("said").textContent = t("search.more_found", { n: items.length });
      links[0]?.focus(); // the pressed button may have been removed
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    if (first) $("summary").textContent = "";
    const again = () => {
      $("problem").replaceChildren();
      return fetchMore(search, signal);
    };
    complain($("problem"), error, error.code === "bad_parameter" ? null : again);
  } finally {
    if (!signal.aborted) {
      results.removeAttribute("aria-busy");
      $("more").disabled = false;
    }
  }
}

/**
 * Adds photos to the list. Returns their links.
 *
 * @param {Item[]} items
 * @param {SearchRequest} wanted
 */
function append(items, wanted) {
  const words = modeOf(wanted) === "clip" ? [] : pieces(wanted.q);
  const rows = items.map((item) => result(item, wanted, words));
  $("results").append(...rows);
  $("more").hidden = found?.next === null;
  return rows.map((row) => row.querySelector("a"));
}

/**
 * @param {Item} item
 * @param {SearchRequest} wanted
 * @param {string[]} words
 */
function result(item, wanted, words) {
  const image = make("img", { alt: "", "data-asset": item.assetId });
  const [box] = item.why.boxes;
  if (box) { // keeps the matching part in view when the picture is cropped to its frame
    /** @param {0 | 1} axis */
    const middle = (axis) => (box[axis] + box[axis + 2] + box[axis + 4] + box[axis + 6]) / 4;
    image.style.setProperty("object-position", `${100 * middle(0)}% ${100 * middle(1)}%`);
  }
  if (me.may.thumbnails) thumbnails.watch(image);
  // Its name and its date are shown anyway.
  const facts = item.why.fields.filter((fact) => !["file", "date", "type"].includes(fact.field)).map((fact) => fact.value);
  const marks = item.why.pinyin ? [...words, ...item.why.fields.map((fact) => fact.word)] : words;
  const lines = [...(item.why.text ? item.why.text.split("\n") : []), ...facts].slice(0, 3);
  return make("li", {},
    make("a", { href: addressOf(wanted, item.assetId), onclick: () => remember(item.assetId) },
      make("span", { class: me.may.thumbnails ? "thumb" : "thumb blank" }, image, make("span", { class: "none" }, t("search.no_picture"))),
      make("span", { class: "caption" },
        lines.length
          ? make("span", { class: "said" }, lines.map((line) => make("span", { class: "line", lang: scriptOf(line) }, marked(line, marks, true))))
          : null,
        make("span", { class: "file" },
          make("time", { datetime: item.takenAt }, day(item.takenAt)),
          make("span", { class: "name" }, item.fileName),
          item.why.forgiven ? make("span", { class: "tag" }, t("search.forgiven")) : null,
          item.why.pinyin ? make("span", { class: "tag" }, t("search.pinyin")) : null,
          item.why.kind === "meaning" ? make("span", { class: "tag" }, t("search.similar")) : null,
          item.why.kind === "both" ? hidden(t("search.similar")) : null,
        ),
      ),
    ),
  );
}

/**
 * Remembers the scroll position, and which photo is looked at.
 *
 * @param {string | null} asset
 */
function remember(asset = found?.looked ?? null) {
  if (found === null) return;
  found.looked = asset;
  found.place = window.scrollY;
  found.keep();
}

const isTouched = () => matchMedia("(pointer: coarse)").matches;

function submit() {
  suggestions?.close();
  const q = $("q").value.trim();
  const next = addressOf({ q, mode: chosen, filters });
  if (next !== location.pathname + location.search) history.pushState(null, "", next);
  if (isTouched()) $("q").blur(); // closes the on-screen keyboard, which would cover the results
  return run();
}

/** @param {string[]} now the filters from now on */
function narrow(now) {
  filters = now;
  const done = submit();
  if (document.activeElement === document.body) { // the focus was on a chip that is gone
    (/** @type {HTMLElement | null} */ ($("filters").querySelector("button")) ?? $(isTouched() ? "main" : "q")).focus();
  }
  return done;
}

/** @param {string} filter */
const add = (filter) => narrow(including(filters, filter));

choosingDays(add);
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("q").addEventListener("input", showMode);
$("more").addEventListener("click", () => found && fetchMore(found, running.signal));
for (const choice of choices()) {
  choice.addEventListener("change", () => {
    chosen = choice.value;
    $("q").value = bare($("q").value);
    if ($("q").value.trim() || filters.length) submit();
  });
}

/** Whether the reader has come back to this page, by the browser's button or from a photo. */
function returning() {
  const [{ type }] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
  const { pathname } = new URL(document.referrer || location.href);
  return type === "back_forward" || (type !== "reload" && pathname.startsWith("/console/photo/"));
}

await start(async (who) => {
  me = who;
  offerToSave = saving(me);
  suggestions = suggesting(me, (filter) => (filter === null ? showMode() : add(filter)));
  history.scrollRestoration = "manual"; // the results are not there yet when the browser would scroll
  window.addEventListener("popstate", () => run());
  window.addEventListener("pagehide", () => remember());
  window.addEventListener("pageshow", (event) => {
    const kept = event.persisted ? Found.kept(inAddress()) : null;
    if (kept && found) comeBack(kept);
  });
  await run(returning());
  if (!isAsked(inAddress())) $("q").focus();
});
