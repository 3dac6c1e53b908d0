// The result of the tab "Compare": measures of each pair, a picture of the movements, and the columns.

import { draw, figure } from "../charts.js";
import { make, moveBadge } from "../dom.js";
import { thumbs } from "../feedback.js";
import { shown } from "../logic.js";
import { scoreBar } from "../rerank.js";
import { say } from "../words.js";
import { linesOf, movesOf, pairsOf, rowsOf } from "./logic.js";
import { DEPTH, kendallTauB, overlap, PERSISTENCE, rankBiasedOverlap } from "./measures.js";

export const LETTERS = ["A", "B", "C", "D"];
export const ROWS_AT_FIRST = 10;

/** `last` is {candidates, columns, settings}, or null. */
export function resultParts(last, rows, onMore) {
  if (last === null) return [make("p", { class: "w-empty" }, say("compare.empty"))];
  const { candidates, columns, settings } = last;
  const count = candidates.length;
  const parts = [
    make("p", { class: "w-summary" }, say("compare.summary", { count, times: columns.length, letter: LETTERS[0] })),
    ...notices(columns, settings),
    make("div", { class: "w-pairs" }, measures(columns), picture(columns, candidates)),
    make("div", { class: "w-columns w-compared", style: `--columns: ${columns.length}` },
      ...columns.map((column, place) => section(column, columns[0], { candidates, rows, place, label: settings[place].label }))),
  ];
  if (rows < count) {
    const more = make("button", { type: "button", class: "w-quiet w-more" }, say("more", { count }));
    more.addEventListener("click", onMore);
    parts.push(more);
  }
  return parts;
}

function notices(columns, settings) {
  return columns.flatMap(({ model, applied, wanted }, place) => {
    const said = [];
    if (wanted !== null && wanted !== model) said.push(say("compare.unknownReranker", { wanted, used: model }));
    if (!applied && settings[place].instruction.named !== null) said.push(say("notApplied", { model }));
    return said.map((text) => make("p", { class: "w-notice" }, `${LETTERS[place]}: ${text}`));
  });
}

function measures(columns) {
  const names = ["pair", "overlap", "rbo", "tau", "moves"];
  const head = names.map((name) => make("th", { scope: "col" }, say(`compare.${name}`, { depth: DEPTH, p: PERSISTENCE })));
  const body = pairsOf(columns.length).map(([one, other]) => {
    const [first, second] = [columns[one], columns[other]];
    const tau = kendallTauB(first.scores, second.scores);
    const cells = [
      `${LETTERS[one]} – ${LETTERS[other]}`,
      shown(overlap(first.order, second.order)),
      shown(rankBiasedOverlap(first.order, second.order)),
      tau === null ? say("compare.noTau") : shown(tau),
      say("compare.movesOf", movesOf(first, second)),
    ];
    const labels = head.map(({ textContent }) => textContent);
    return make("tr", {}, ...cells.map((text, place) => make("td", { "data-label": labels[place] }, text)));
  });
  const table = make("table", { class: "w-figures" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  return make("div", {}, table, make("p", { class: "w-help" }, say("compare.help")));
}

const [WIDTH, ROW, EDGE] = [520, 22, 26];

/** Lines between the places of a candidate; those of the last visible place end below the picture. */
function picture(columns, candidates) {
  const depth = Math.min(ROWS_AT_FIRST, candidates.length);
  const height = (depth + 1) * ROW + 12;
  const across = (place) => EDGE + (place * (WIDTH - 2 * EDGE)) / (columns.length - 1);
  const down = (place) => Math.min(place, depth) * ROW + 30;
  const lines = linesOf(columns, depth).map(({ index, places }) => {
    const points = places.map((place, column) => `${across(column)},${down(place)}`).join(" ");
    const way = Math.sign(places[0] - places.at(-1));
    const title = draw("title", {}, candidates[index].title || candidates[index].text.slice(0, 80));
    return draw("polyline", { points, class: `w-line ${way > 0 ? "w-rises" : way < 0 ? "w-falls" : ""}`, "data-index": index }, title);
  });
  const texts = columns.flatMap((_, column) => [
    draw("text", { x: across(column), y: 14, class: "w-axis-name" }, LETTERS[column]),
    ...Array.from({ length: depth }, (__, place) => draw("circle", { cx: across(column), cy: down(place), r: 9 })),
    ...Array.from({ length: depth }, (__, place) =>
      draw("text", { x: across(column), y: down(place) + 4, class: "w-place" }, String(place + 1))),
  ]);
  const name = say("compare.picture", { depth });
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": name }, ...lines, ...texts);
  return figure(name, svg);
}

function section(column, first, { candidates, rows, place, label }) {
  const cards = rowsOf(column, first).slice(0, rows).map((row) => card(row, candidates[row.index], place > 0));
  const title = make("h2", {}, make("b", { class: "w-letter" }, LETTERS[place]), ` ${label}`);
  return make("section", {}, title, make("p", { class: "w-help" }, column.model), make("ol", {}, ...cards));
}

/** A candidate: a button that marks it in every column, and opens its text. */
function card({ index, rank, score, moved }, { title, text, judged }, isCompared) {
  const button = make(
    "button",
    { type: "button", class: "w-card", "aria-pressed": "false" },
    make("span", { class: "w-card-top" }, make("b", {}, String(rank)), isCompared ? moveBadge(moved) : null,
      make("span", { class: "w-card-score" }, shown(score))),
    scoreBar(score),
    title ? make("span", { class: "w-card-title" }, title) : null,
    make("span", { class: "w-card-text" }, text),
  );
  button.dataset.candidate = String(index);
  button.addEventListener("click", () => mark(index, button.getAttribute("aria-pressed") !== "true"));
  for (const [event, on] of [["mouseenter", true], ["mouseleave", false], ["focus", true], ["blur", false]]) {
    button.addEventListener(event, () => point(index, on));
  }
  return make("li", {}, button, judged ? thumbs(...judged, title) : null);
}

function mark(index, on) {
  for (const each of document.querySelectorAll("#compare-result .w-card")) {
    each.setAttribute("aria-pressed", String(on && each.dataset.candidate === String(index)));
  }
}

function point(index, on) {
  for (const each of document.querySelectorAll("#compare-result .w-card")) {
    each.classList.toggle("w-same", on && each.dataset.candidate === String(index));
  }
  for (const each of document.querySelectorAll("#compare-result .w-line")) {
    each.classList.toggle("w-pointed", on && each.dataset.index === String(index));
  }
}
