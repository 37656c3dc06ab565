// The page of a trial: another model beside the one in use, its figures, and questions to both.

import { ask } from "./api.js";
import { $, complain, make } from "./dom.js";
import { shortName } from "./names.js";
import { start } from "./shell.js";
import { date, duration, few, number, percent, points, t } from "./texts.js";
import { Thumbnails } from "./thumbnails.js";

const FIRST = 20; // photos of each model

/** @type {Me} */
let me;
const thumbnails = new Thumbnails();
let running = new AbortController();

/** @param {Trial} trial */
function show({ madeAt, current, tried, setting, photos, leftOut, lacking, seconds, scores, currentCost, triedCost }) {
  $("trial").hidden = false;
  $("current-name").textContent = shortName(current);
  $("tried-name").textContent = shortName(tried);
  $("compared").textContent = t("trial.compared", { date: date(madeAt), n: photos });
  if (leftOut) $("compared").append(" ", t("trial.left_out", { n: leftOut }));
  $("setting").textContent = `CLIP_MODEL=${setting}`;
  const all = scores.at(-1);
  $("verdict").textContent = all ? t(`trial.verdict_${all.verdict}`, { n: all.questions }) : t("trial.verdict_none");
  $("change").textContent = seconds === null ? "" : t("trial.change", { n: lacking, time: duration(seconds) });
  const measured = (/** @type {number | null} */ value, /** @type {(value: number) => string} */ shown) =>
    figure(value === null ? t("trial.not_measured") : shown(value));
  $("figures").tBodies[0].replaceChildren(
    ...scores.map((score) => make("tr", {},
      make("th", { scope: "row" }, t(`trial.kind_${score.kind}`, { n: score.questions })),
      figure(percent(score.current)), figure(percent(score.tried)),
      figure(`${points(score.tried - score.current)} (${points(score.low)} … ${points(score.high)})`))),
    make("tr", {}, make("th", { scope: "row" }, t("trial.seconds")),
      measured(currentCost.seconds, few), measured(triedCost.seconds, few), figure("")),
    make("tr", {}, make("th", { scope: "row" }, t("trial.memory")),
      measured(currentCost.memory, megabytes), measured(triedCost.memory, megabytes), figure("")),
  );
}

/** @param {string} text */
const figure = (text) => make("td", { class: "number" }, text);

/** @param {number} bytes */
const megabytes = (bytes) => `${number(bytes / 1e6)} MB`;

/** Asks both models what was typed. */
async function compare() {
  running.abort();
  running = new AbortController();
  thumbnails.clear();
  const q = $("q").value.trim();
  if (!q) return;
  $("problem").replaceChildren();
  $("summary").textContent = t("trial.asking");
  $("rankings").hidden = true;
  try {
    /** @type {TrialSearchAnswer} */
    const answer = await ask(`/api/trial/search?${new URLSearchParams({ q, limit: String(FIRST) })}`, { signal: running.signal });
    $("summary").textContent = answer.photos ? t("trial.found", { n: answer.photos }) : t("trial.nothing");
    $("rankings").hidden = !answer.photos;
    rank($("by-current"), answer.items, "currentRank", "triedRank");
    rank($("by-tried"), answer.items, "triedRank", "currentRank");
  } catch (error) {
    if (error.name === "AbortError") return;
    $("summary").textContent = "";
    complain($("problem"), error, compare);
  }
}

/**
 * Shows the ranking of one model, each photo with its place in the other's.
 *
 * @param {HTMLElement} place
 * @param {TrialPhoto[]} photos
 * @param {"currentRank" | "triedRank"} own
 * @param {"currentRank" | "triedRank"} other
 */
function rank(place, photos, own, other) {
  const ranked = photos.filter((photo) => photo[own] <= FIRST).sort((one, two) => one[own] - two[own]);
  place.replaceChildren(...ranked.map((photo) => {
    const image = make("img", { alt: "", "data-asset": photo.assetId });
    if (me.may.thumbnails) thumbnails.watch(image);
    return make("li", {},
      make("a", { href: `/console/photo/${encodeURIComponent(photo.assetId)}` },
        make("span", { class: me.may.thumbnails ? "thumb" : "thumb blank" }, image, make("span", { class: "none" }, t("search.no_picture"))),
        make("span", { class: "caption" },
          make("span", { class: "file" },
            make("span", { class: "rank" }, number(photo[own])),
            make("span", { class: "name" }, photo.fileName),
            photo[other] === photo[own] ? null : make("span", { class: "tag" }, t("trial.other_rank", { rank: photo[other] }))))));
  }));
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  compare();
});

await start(async (who) => {
  me = who;
  /** @type {{trial: Trial | null}} */
  const { trial } = await ask("/api/trial");
  $("no-trial").hidden = trial !== null;
  if (trial !== null) show(trial);
});
