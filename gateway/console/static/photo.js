// The photo page: the picture with its text where it stands, and the same text beside it.

import { ask, picture } from "./api.js";
import { draw } from "./boxes.js";
import { comparison } from "./compare.js";
import { $, complain, make, scriptOf } from "./dom.js";
import { marked, pieces } from "./marks.js";
import { modelName } from "./names.js";
import { start } from "./shell.js";
import { ago, date, t } from "./texts.js";

const PATIENCE = 60; // seconds to wait for a photo to be read again
const AGAIN = 2000; // milliseconds until a photo that waits is looked at again

const id = location.pathname.split("/").at(-1);
const parameters = new URLSearchParams(location.search);
const sought = parameters.get("q")?.trim() ?? "";
const query = parameters.get("mode") === "clip" ? "" : sought;
const words = pieces(query);
const shown = query.replace(/^\s*ocr\s*[:：]\s*/i, "");

const own = `/api/assets/${id}`; // as it stands in the address, so still encoded

const isPending = ({ state }) => ["waiting", "running"].includes(state);

let me;
let last = "";
let timer;

/** Shows the photo as it is now, and again until it is neither waiting nor being read. */
async function look() {
  clearTimeout(timer);
  const asset = await ask(query ? `${own}?${new URLSearchParams({ q: query })}` : own);
  if (isPending(asset)) timer = setTimeout(() => look().catch((error) => complain($("problem"), error, look)), AGAIN);
  const now = JSON.stringify(asset);
  if (now === last) return; // and nothing that somebody is selecting goes away
  last = now;
  const matched = new Set(asset.matched ?? []);
  describe(asset);
  list(asset, matched);
  offer(asset);
  $("loading").hidden = true;
  $("photo").hidden = false;
  await overlay(asset, matched);
}

function describe(asset) {
  document.title = document.title.replace(/^.*(?= · )/, asset.fileName);
  $("name").textContent = asset.fileName;
  $("taken").textContent = asset.takenAt ? t("photo.taken", { date: date(asset.takenAt) }) : "";
  $("open").hidden = !asset.immich;
  if (asset.immich && /^https?:/i.test(asset.immich)) $("open").href = asset.immich;
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

function stateOf(asset) {
  if (asset.state === "failed") return t(asset.failure?.givenUp === false ? "photo.state_failed_retry" : "photo.state_failed");
  if (asset.state !== "indexed") return t(`photo.state_${asset.state}`);
  return asset.current ? "" : t("photo.older");
}

function list({ lines, indexedAt }, matched) {
  $("count").textContent = matched.size
    ? t("photo.matched_lines", { n: matched.size, q: shown })
    : lines.length ? t("photo.text_lines", { n: lines.length }) : "";
  $("lines").replaceChildren(...lines.map(({ text }, line) =>
    make("li", { "data-line": line, class: matched.has(line) ? "matched" : null },
      make("button", {
        type: "button", class: "at", "aria-pressed": "false", "aria-label": t("photo.show_line", { n: line + 1 }),
        onclick: (event) => point(line, event.currentTarget.getAttribute("aria-pressed") !== "true"),
      }, String(line + 1)),
      make("span", { lang: scriptOf(text) }, marked(text, words, matched.has(line))),
    )));
  $("no-text").hidden = lines.length > 0;
  $("no-text").textContent = t(indexedAt ? "photo.no_text" : "photo.no_text_yet");
}

async function overlay({ fileName, lines }, matched) {
  const image = $("picture");
  image.alt = t("photo.picture_of", { name: fileName });
  const stage = $("stage");
  try {
    if (!me.may.thumbnails) throw new Error(t("search.no_thumbnails"));
    const address = await picture(id, "preview");
    image.src = address;
    await image.decode().finally(() => URL.revokeObjectURL(address));
  } catch (error) {
    stage.classList.remove("loaded");
    $("no-picture").textContent = t("photo.no_picture", { reason: error.message });
    return;
  }
  $("no-picture").textContent = "";
  const ratio = image.naturalWidth / image.naturalHeight;
  stage.style.setProperty("--ratio", ratio);
  stage.classList.add("loaded");
  draw($("boxes"), $("layer"), lines, matched, words, ratio);
}

/** Shows which box and which line belong together. */
function light(line, on) {
  for (const element of document.querySelectorAll(`[data-line="${line}"]`)) element.classList.toggle("lit", on);
}

/** Points out one line in the picture, or no longer. */
function point(line, on) {
  for (const button of document.querySelectorAll(".at")) button.setAttribute("aria-pressed", "false");
  for (const element of document.querySelectorAll(".pointed")) element.classList.remove("pointed");
  if (!on) return;
  document.querySelector(`.lines [data-line="${line}"] .at`).setAttribute("aria-pressed", "true");
  for (const element of document.querySelectorAll(`[data-line="${line}"]`)) element.classList.add("pointed");
  document.querySelector(`#boxes [data-line="${line}"]`)?.scrollIntoView({ block: "nearest" });
}

for (const [kind, on] of [["pointerover", true], ["pointerout", false]]) {
  $("photo").addEventListener(kind, (event) => {
    const line = event.target.closest("[data-line]")?.dataset.line;
    if (line !== undefined) light(line, on);
  });
}

// Once more

/** Whether the photo may be read again, and if not, why. */
function offer(asset) {
  const reason = !asset.own ? t("photo.not_own") : !me.may.reprocess ? t("photo.may_not") : "";
  $("again-lead").textContent = reason || t("photo.regenerate_lead");
  $("again-lead").classList.toggle("notice", Boolean(reason));
  for (const button of document.querySelectorAll("[data-task]")) button.disabled = Boolean(reason);
}

async function regenerate(task) {
  const buttons = document.querySelectorAll("[data-task]");
  for (const button of buttons) button.disabled = true;
  $("again-state").textContent = t("photo.reading");
  $("again-state").classList.add("busy");
  $("problem").replaceChildren();
  try {
    const answer = await ask(`${own}/reprocess`, { body: { tasks: [task], wait: PATIENCE } });
    $("again-state").textContent = "";
    await look();
    showOutcome(answer, task);
  } catch (error) {
    $("again-state").textContent = "";
    complain($("again-state"), error);
  } finally {
    $("again-state").classList.remove("busy");
    for (const button of buttons) button.disabled = false;
  }
}

function showOutcome(answer, task) {
  const compare = $("compare");
  if (answer.state === "indexed" && answer.after) {
    $("comparison").replaceChildren(...comparison(answer, task));
  } else if (answer.state === "failed") {
    $("comparison").replaceChildren(make("p", { class: "notice bad" }, t("compare.failed", { reason: answer.failure?.error ?? "" })));
  } else {
    $("comparison").replaceChildren(make("p", { class: "notice" }, t("compare.waiting"),
      make("a", { href: "/console/status" }, t("compare.see_status"))));
  }
  compare.hidden = false;
  compare.focus();
  compare.scrollIntoView({ block: "nearest" });
}

async function tryAgain(event) {
  const button = event.currentTarget;
  button.disabled = true;
  button.textContent = t("photo.retrying");
  try {
    await ask(`${own}/retry`, { method: "POST" });
    await look();
  } catch (error) {
    complain($("failure"), error, look);
  }
}

for (const button of document.querySelectorAll("[data-task]")) {
  button.addEventListener("click", () => regenerate(button.dataset.task));
}

await start(async (who) => {
  me = who;
  if (sought) {
    parameters.delete("lang");
    $("back").href = `/console?${parameters}`;
  }
  try {
    await look();
  } catch (error) {
    $("loading").hidden = true;
    complain($("problem"), error, error.code === "not_found" ? null : () => location.reload());
  }
});
