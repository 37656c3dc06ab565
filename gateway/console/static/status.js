// The status page. The gateway sends the status whenever it changes, and this shows it.

import { ask, events } from "./api.js";
import { $, complain, hidden, make } from "./dom.js";
import { modelName } from "./names.js";
import { start } from "./shell.js";
import { ago, duration, number, percent, rate, t } from "./texts.js";

const PAUSES = [1, 2, 5, 10, 30]; // seconds before the next try to connect
const QUIET = 10_000; // milliseconds between two announcements of the progress

/** @type {Me} */
let me;
let scope = "own";
/** @type {AbortController | undefined} */
let stream;

/**
 * @param {"connecting" | "live" | "lost"} state
 * @param {string} text
 */
function connection(state, text) {
  $("live").dataset.state = state;
  if ($("live-text").textContent !== text) $("live-text").textContent = text;
}

/** Follows the status, and reconnects after a lost connection. Not while the page is hidden. */
async function follow() {
  stream?.abort();
  const mine = (stream = new AbortController());
  for (let failed = 0; !mine.signal.aborted; ) {
    try {
      for await (const status of events(`/api/status/events?scope=${scope}`, mine.signal)) {
        failed = 0;
        connection("live", t("status.live"));
        $("problem").replaceChildren();
        show(status);
      }
      if (mine.signal.aborted) return;
      connection("connecting", t("status.connecting"));
    } catch (error) {
      if (mine.signal.aborted || error.code === "unauthorized") return;
      if (error.code === "forbidden") {
        connection("lost", "");
        return complain($("problem"), error, follow);
      }
      connection("lost", t("status.lost", { reason: error.message ?? "" }));
      say($("live-text").textContent); // the figures shown are old now
      if (!error.code) console.error(error);
    }
    await pause(PAUSES[Math.min(failed++, PAUSES.length - 1)], mine.signal);
  }
}

/**
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(seconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, 1000 * seconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()));
  });
}

/** @param {Status} status */
function show(status) {
  const { total, indexed } = status;
  const share = total ? indexed / total : 0;
  $("status").hidden = false;
  $("indexed").textContent = number(indexed);
  $("of-total").textContent = t("status.of_total", { total });
  $("bar").value = share;
  $("percent").textContent = total ? t("status.percent", { percent: percent(share) }) : t("status.empty");
  $("eta").textContent = remaining(status);
  $("asleep").hidden = status.workersAlive !== 0;
  engines(status.engines.filter(({ engine, state }) => state !== "waiting for weights" || status.weights.every(({ use }) => use !== engine)));
  for (const name of /** @type {const} */ (["waiting", "running", "retrying", "failed", "withText"])) {
    $(`tile-${name}`).textContent = number(status[name]);
  }
  $("tile-photosPerMinute").textContent = rate(status.photosPerMinute);
  $("tile-failed").classList.toggle("bad", status.failed > 0);
  $("demo").hidden = !(me.demoModel || status.demoModel);
  if (total) say(indexed === total ? t("status.done") : t("status.progress_said", { indexed, total }), indexed === total);
  failures(status.failures);
  weights(status.weights);
  models(status.models);
  vector(status.vector);
  workers(status.workers);
  $("advice").hidden = !status.advice.length;
  $("advice").querySelector("ul")?.replaceChildren(...status.advice.map((text) => make("li", { lang: "en" }, text)));
}

/** @param {Status} status */
function remaining({ total, indexed, waiting, running, retrying, etaSeconds }) {
  if (!waiting && !running && !retrying) return total && indexed === total ? t("status.done") : "";
  return etaSeconds ? t("status.eta", { time: duration(etaSeconds) }) : t("status.no_eta");
}

let said = -QUIET;
/** @type {number | undefined} */
let telling;

/**
 * Tells screen readers the progress at intervals, not each second. The last figures are always told.
 *
 * @param {string} text
 * @param {boolean} now
 */
function say(text, now = false) {
  clearTimeout(telling);
  telling = setTimeout(() => {
    if ($("said").textContent !== text) $("said").textContent = text;
    said = performance.now();
  }, now ? 0 : said + QUIET - performance.now());
}

/** @type {Map<string, ReturnType<typeof failureRow>>} */
const rows = new Map(); // the failures shown, so that a row keeps its focus while others change

/** @param {Failed[]} list */
function failures(list) {
  const place = $("failures");
  $("no-failures").hidden = list.length > 0;
  const gone = new Set(rows.keys());
  list.forEach((failure, index) => {
    gone.delete(failure.assetId);
    const row = rows.get(failure.assetId) ?? failureRow(failure.assetId, failure);
    rows.set(failure.assetId, row);
    row.update(failure);
    if (place.children[index] !== row.element) place.insertBefore(row.element, place.children[index] ?? null);
  });
  for (const [id, { element }] of rows) {
    if (!gone.has(id)) continue;
    const focused = element.contains(document.activeElement);
    element.remove();
    rows.delete(id);
    if (focused) $("main").focus();
  }
}

/**
 * @param {string} id
 * @param {Failed} first
 */
function failureRow(id, first) {
  const link = make(first.own ? "a" : "span", { href: first.own && `/console/photo/${id}` });
  const when = make("span", { class: "small" });
  const reason = make("p", { class: "reason", lang: "en" });
  const problem = make("div");
  const label = make("span", {}, t("status.retry"));
  const name = hidden("");
  const button = make("button", { type: "button" }, label, " ", name);
  let failedAt = first.failedAt;
  /** @type {string | null} */
  let retried = null;
  button.addEventListener("click", async () => {
    retried = failedAt;
    button.disabled = true;
    label.textContent = t("status.retrying_now");
    problem.replaceChildren();
    try {
      await ask(`/api/assets/${id}/retry`, { method: "POST" });
    } catch (error) {
      retried = null;
      complain(problem, error);
      button.disabled = false;
      label.textContent = t("status.retry");
    }
  });
  const element = make("li", {},
    make("div", { class: "failed" }, make("p", {}, link, " ", when), reason, problem),
    first.own && me.may.reprocess ? button : null);
  return {
    element,
    /** @param {Failed} failure */
    update(failure) {
      const text = failure.fileName ?? id;
      if (link.textContent !== text) link.textContent = text;
      if (name.textContent !== text) name.textContent = text;
      const tried = t(failure.givenUp ? "status.given_up" : "status.tried", { n: failure.attempts });
      when.textContent = `${ago(failure.failedAt)} · ${tried}`;
      if (reason.textContent !== failure.error) reason.textContent = failure.error;
      failedAt = failure.failedAt;
      if (retried !== null && retried !== failedAt) { // it has failed again
        retried = null;
        button.disabled = false;
        label.textContent = t("status.retry");
      }
    },
  };
}

/** @param {string} text */
const figure = (text) => make("td", { class: "number" }, text);

/** @param {WeightsFigures[]} list */
function weights(list) {
  $("weights").replaceChildren(...list.map(({ use, model, arrived, size, host, reason }) => make("div", { class: "notice" },
    make("p", {}, t(use === "clip" ? "status.weights_clip" : "status.weights_faces", { model })),
    size ? make("p", {}, t(host ? "status.weights_coming" : "status.weights_arrived", { percent: percent(arrived / size), size: number(size / 1e6), host })) : null,
    make("p", { class: "small", lang: "en" }, reason))));
}

/** @param {ModelFigures[]} list */
function models(list) {
  const table = $("models");
  /** @type {HTMLElement} */ (table.closest(".scroll")).hidden = !list.length;
  $("models-lead").textContent = t(list.length ? "status.models_lead" : "status.no_models");
  table.tBodies[0].replaceChildren(...list.map(({ ocrModel, clipModel, photos }) => make("tr", {},
    make("td", {}, modelName(ocrModel)), make("td", {}, modelName(clipModel)), figure(number(photos)))));
}

/** @param {VectorFigures} vector */
function vector({ width, dimensions, advice }) {
  $("vector").textContent = dimensions ? t("status.vector_width", { width, dimensions }) : t("status.vector_width_only", { width });
  const place = $("vector-advice");
  place.classList.toggle("notice", Boolean(advice));
  if (advice) {
    const what = t(dimensions && width < dimensions ? "status.vector_narrow" : "status.vector_tight");
    place.replaceChildren(make("p", {}, what), make("p", { class: "small", lang: "en" }, advice));
  } else {
    place.textContent = dimensions && width > dimensions ? t("status.vector_fine") : "";
  }
}

/**
 * The engines that are not ready: since when, and how many photos wait for each.
 *
 * @param {EngineFigures[]} list
 */
function engines(list) {
  $("engines").hidden = !list.length;
  $("engines").querySelector("ul")?.replaceChildren(...list.map(({ engine, state, since, photos, reason }) => make("li", {},
    t(`status.engine_${state.replaceAll(" ", "_")}`, { engine: t(`status.engine_${engine}`), since: ago(new Date(since)), n: photos }),
    reason ? make("span", { class: "small", lang: "en" }, ` ${reason}`) : null)));
}

/** @param {WorkerFigures[]} list */
function workers(list) {
  $("workers").hidden = !list.length;
  $("workers").querySelector("tbody")?.replaceChildren(...list.map((worker) => make("tr", {},
    make("td", {}, worker.name, worker.polling ? " " : null, worker.polling ? make("span", { class: "tag" }, t("status.worker_polling")) : null),
    make("td", { class: "whole" }, worker.device), figure(number(worker.photos)), figure(rate(worker.photosPerMinute)),
    make("td", { class: "whole" }, ago(new Date(Date.now() - 1000 * worker.seenSeconds))))));
}

await start(async (who) => {
  me = who;
  $("scope").hidden = !me.isAdmin;
  $("try").hidden = !me.isAdmin;
  const wanted = new URLSearchParams(location.search).get("scope");
  if (me.isAdmin && wanted === "all") scope = "all";
  for (const choice of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("[name=scope]"))) {
    choice.checked = choice.value === scope;
    choice.addEventListener("change", () => {
      scope = choice.value;
      history.replaceState(null, "", scope === "own" ? "/console/status" : "/console/status?scope=all");
      rows.clear();
      $("failures").replaceChildren();
      $("said").textContent = "";
      connection("connecting", t("status.connecting"));
      follow();
    });
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? stream?.abort() : follow()));
  document.addEventListener("signed-out", () => stream?.abort());
  follow();
});
