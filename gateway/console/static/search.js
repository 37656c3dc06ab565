// The search page: what is looked for stands in the address, so that it can be kept, shared and gone back to.

import { ask, picture } from "./api.js";
import { $, complain, hidden, make, scriptOf } from "./dom.js";
import { marked, pieces } from "./marks.js";
import { start } from "./shell.js";
import { t } from "./texts.js";

const PAGE = 48;
const AT_ONCE = 6; // pictures
const OCR = /^\s*ocr\s*[:：]\s*/i;

let me;
let running = new AbortController();
const waiting = [];
let loading = 0;

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    waiting.push(target);
  }
  load();
}, { rootMargin: "400px" });

/** Fetches the pictures that came into view, some at a time. */
function load() {
  while (loading < AT_ONCE && waiting.length) {
    const image = waiting.shift();
    loading += 1;
    picture(image.dataset.asset, "thumbnail", running.signal)
      .then((address) => show(image, address))
      .catch((error) => error.name === "AbortError" || image.closest(".thumb").classList.add("blank"))
      .finally(() => {
        loading -= 1;
        load();
      });
  }
}

async function show(image, address) {
  image.src = address;
  try {
    await image.decode();
    image.closest(".thumb").classList.add("loaded");
  } catch {
    image.closest(".thumb").classList.add("blank");
  } finally {
    URL.revokeObjectURL(address);
  }
}

function wish() {
  const parameters = new URLSearchParams(location.search);
  return { q: parameters.get("q")?.trim() ?? "", mode: parameters.get("mode") ?? "hybrid" };
}

function address({ q, mode }) {
  const parameters = new URLSearchParams({ q });
  if (mode !== "hybrid") parameters.set("mode", mode);
  return `/console?${parameters}`;
}

function choose(mode) {
  for (const choice of document.querySelectorAll("[name=mode]")) choice.checked = choice.value === mode;
}

function clear() {
  running.abort();
  running = new AbortController();
  waiting.length = 0;
  watcher.disconnect();
  $("results").replaceChildren();
  $("problem").replaceChildren();
  $("nothing").hidden = true;
  $("more").hidden = true;
  $("tips").hidden = true;
}

async function run() {
  const wanted = wish();
  $("q").value = wanted.q;
  choose(wanted.mode);
  clear();
  document.title = document.title.replace(/^.*(?= · )/, wanted.q || t("page.search_title"));
  if (!wanted.q) {
    $("summary").textContent = "";
    $("tips").hidden = false;
    return;
  }
  $("summary").textContent = t("search.searching");
  await fetchPage(wanted, 0, running.signal);
}

async function fetchPage(wanted, offset, signal) {
  const results = $("results");
  const parameters = new URLSearchParams({ ...wanted, limit: PAGE, offset });
  results.setAttribute("aria-busy", "true");
  $("more").disabled = true;
  try {
    const found = await ask(`/api/search?${parameters}`, { signal });
    choose(found.mode); // what was typed, `ocr:`, goes before what was chosen
    const words = found.mode === "clip" ? [] : pieces(wanted.q);
    const items = found.items.map((item) => result(item, wanted, words));
    results.append(...items);
    if (offset) {
      $("summary").textContent = t("search.more_found", { n: items.length });
      items[0]?.querySelector("a").focus(); // the button that was pressed may be gone
    } else {
      summarise(found, wanted);
    }
    $("more").hidden = found.next === null;
    $("more").onclick = () => fetchPage(wanted, found.next, signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    $("summary").textContent = "";
    complain($("problem"), error, error.code === "bad_parameter" ? null : () => fetchAgain(wanted, offset, signal));
  } finally {
    if (!signal.aborted) {
      results.removeAttribute("aria-busy");
      $("more").disabled = false;
    }
  }
}

function fetchAgain(wanted, offset, signal) {
  $("problem").replaceChildren();
  return fetchPage(wanted, offset, signal);
}

function summarise(found, { q }) {
  const notes = [...found.notes.map((note) => make("span", { lang: "en" }, note)), me.may.thumbnails ? null : t("search.no_thumbnails")].filter(Boolean);
  const bare = q.replace(OCR, "");
  let said;
  if (!found.items.length) {
    said = t(found.mode === "ocr" ? "search.none_words" : "search.none_any", { q: bare });
    $("nothing").replaceChildren(...advice(found.mode, bare));
    $("nothing").hidden = false;
  } else if (found.mode === "clip") {
    said = t("search.by_meaning");
  } else if (!found.textMatches) {
    said = t("search.only_meaning", { q: bare });
  } else {
    const many = found.textMatches >= 1000;
    said = t(many ? "search.found_many" : "search.found_words", { n: found.textMatches, q: bare });
    if (found.items.some((item) => item.why.kind === "meaning")) said += t("search.then_meaning");
  }
  $("summary").replaceChildren(said, ...notes.flatMap((note) => [" ", note]));
}

/** What to do when nothing was found. */
function advice(mode, q) {
  const link = (text, href) => make("a", { href }, text);
  return [
    make("ul", {},
      mode === "clip" ? null : make("li", {}, t("search.none_try_fewer")),
      mode === "ocr" ? make("li", {}, t("search.none_try_meaning"), link(t("search.none_try_meaning_link"), address({ q, mode: "clip" }))) : null,
      make("li", {}, t("search.none_try_status"), link(t("search.none_try_status_link"), "/console/status")),
    ),
  ];
}

function result(item, wanted, words) {
  const image = make("img", { alt: "", "data-asset": item.assetId });
  const [box] = item.why.boxes;
  if (box) { // the part of the picture that says it stays in view when it is cut to the frame
    const middle = (start) => (box[start] + box[start + 2] + box[start + 4] + box[start + 6]) / 4;
    image.style.setProperty("object-position", `${100 * middle(0)}% ${100 * middle(1)}%`);
  }
  if (me.may.thumbnails) watcher.observe(image);
  const lines = item.why.text ? item.why.text.split("\n").slice(0, 3) : [];
  return make("li", {},
    make("a", { href: address(wanted).replace("?", `/photo/${item.assetId}?`) },
      make("span", { class: me.may.thumbnails ? "thumb" : "thumb blank" }, image, make("span", { class: "none" }, t("search.no_picture"))),
      make("span", { class: "caption" },
        lines.length
          ? make("span", { class: "said" }, lines.map((line) => make("span", { class: "line", lang: scriptOf(line) }, marked(line, words, true))))
          : null,
        make("span", { class: "file" },
          make("span", { class: "name" }, item.fileName),
          item.why.forgiven ? make("span", { class: "tag" }, t("search.forgiven")) : null,
          item.why.kind === "meaning" ? make("span", { class: "tag" }, t("search.similar")) : null,
          item.why.kind === "both" ? hidden(t("search.similar")) : null,
        ),
      ),
    ),
  );
}

function submit() {
  const q = $("q").value.trim();
  const mode = document.querySelector("[name=mode]:checked").value;
  const next = q ? address({ q, mode }) : "/console";
  if (next !== location.pathname + location.search) history.pushState(null, "", next);
  return run();
}

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
for (const choice of document.querySelectorAll("[name=mode]")) {
  choice.addEventListener("change", () => {
    $("q").value = $("q").value.replace(OCR, "");
    if ($("q").value.trim()) submit();
  });
}

await start(async (who) => {
  me = who;
  window.addEventListener("popstate", run);
  await run();
  if (!wish().q) $("q").focus();
});
