// The report of the tab "Watch": a line per day with marks, tables, the queries that moved most.

import { lineChart } from "../charts.js";
import { make } from "../dom.js";
import { shown } from "../logic.js";
import { say } from "../words.js";
import { chartOf, isEmpty } from "./logic.js";

const ROWS_AT_FIRST = 10;
const SHORT = 24; // characters of a digest or a name in a mark

/** `report` is the answer of GET /v1/stability, or null; `lines` are the requests that start the recording. */
export function reportParts(report, figure, lines) {
  if (report === null) return [make("p", { class: "w-empty" }, say("watch.before"))];
  if (isEmpty(report)) return [howToStart(lines)];
  return [
    ...chart(report, figure),
    ...(report.movers.length ? [section("movers", ...report.movers.map(mover))] : []),
    ...(report.runs.length ? [section("runsTitle", ...rows(report.runs, runs))] : []),
    ...(report.days.length ? [section("perDay", ...rows([...report.days].reverse(), days))] : []),
  ];
}

function howToStart(lines) {
  const way = (word, text) => make("li", {}, say(`watch.${word}`), make("pre", { class: "w-command", tabindex: 0 }, text));
  return make("div", { class: "w-panel w-form" }, make("p", { class: "w-notice" }, say("watch.empty")), make("p", {}, say("watch.start")),
    make("ul", { class: "w-plain" }, way("sample", lines.sampling), way("golden", lines.golden)));
}

/** A table of the newest rows; the others open on demand. */
function rows(found, tableOf) {
  const more = found.slice(ROWS_AT_FIRST);
  const rest = more.length ? [make("details", { class: "w-fold" }, make("summary", {}, say("watch.older", { count: more.length })), tableOf(more))] : [];
  return [tableOf(found.slice(0, ROWS_AT_FIRST)), ...rest];
}

const section = (word, ...parts) => make("section", {}, make("h2", {}, say(`watch.${word}`)), ...parts);

function chart(report, figure) {
  const nameOf = (each) => (each.name ? say("watch.set", each) : say("watch.live", each));
  const { places, series, marks } = chartOf(report, figure, nameOf);
  if (!series.length) return [];
  const words = marks.map(({ place, mark }) => ({ place, text: markText(mark) }));
  const title = say("watch.chart", { figure: say(`watch.figure.${figure}`) });
  return [lineChart(title, { places: places.map((day) => day.slice(5)), series, marks: words, x: say("watch.axis"), y: [0, 1] })];
}

const minute = (at) => at.slice(0, 16).replace("T", " ");

function markText({ at, collection, factor, before, after }) {
  const short = (text) => (text.length > SHORT ? `${text.slice(0, SHORT)}…` : text || say("watch.nothing"));
  return say("watch.mark", { at: minute(at), collection, factor: say(`watch.factor.${factor}`), before: short(before), after: short(after) });
}

function table(words, rows) {
  const head = make("tr", {}, ...words.map((word) => make("th", { scope: "col" }, word)));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, place) => make("td", { "data-label": words[place] }, cell))));
  return make("table", { class: "w-figures" }, make("thead", {}, head), make("tbody", {}, ...body));
}

function days(found) {
  const words = ["day", "collection", "instruction", "samples", "repeated", "moved"].map((word) => say(`watch.${word}`));
  const figures = ["top1_change_rate", "overlap_at_10", "rbo", "degraded"];
  const titles = figures.map((figure) => say(`watch.figure.${figure}`));
  const cells = found.map((each) => [
    make("span", { class: "w-day" }, each.day), each.collection, each.instruction, String(each.samples), String(each.repeated), String(each.moved),
    ...figures.map((figure) => shown(each[figure])), `${each.runs} (${each.runs_moved})`,
    each.causes.map((cause) => say(`watch.factor.${cause}`)).join(", ") || "–",
  ]);
  return table([...words, ...titles, say("watch.runs"), say("watch.causes")], cells);
}

const breach = ({ measure, value, limit, side }) => `${measure} ${shown(value)} ${side === "max" ? ">" : "<"} ${shown(limit)}`;

function runs(found) {
  const hasBreaches = found.some(({ breaches }) => breaches.length);
  const words = ["run", "collection", "at", "moved"].map((word) => say(`watch.${word}`));
  const cells = found.map(({ number, name, collection, at, measures, causes, breaches, is_baseline: isBaseline }) => [
    `${name} #${number}${isBaseline ? ` · ${say("watch.baseline")}` : ""}`, collection, minute(at),
    measures ? say("watch.movedOf", measures) : "–", shown(measures?.overlap_at_10), shown(measures?.rbo),
    causes.map(({ kind, proof }) => `${say(`watch.factor.${kind}`)} (${say(`watch.proof.${proof}`)})`).join(", ")
      || (measures?.queries ? say("watch.noCause") : "–"),
    ...hasBreaches ? [breaches.map(breach).join(", ") || "–"] : [],
  ]);
  const titles = ["overlap_at_10", "rbo"].map((figure) => say(`watch.figure.${figure}`));
  return table([...words, ...titles, say("watch.causes"), ...hasBreaches ? [say("watch.breaches")] : []], cells);
}

/** A query, with its answer before and after side by side. */
function mover({ query, query_digest: digest, at, collection, rbo, before, after }) {
  const title = query || `${say("watch.hidden")} · ${digest.slice(0, 12)}`;
  const list = (word, places) => make("section", {}, make("h4", {}, say(`watch.${word}`)),
    make("ol", {}, ...places.slice(0, 10).map(({ document_id: id, ordinal, relevance, score }) =>
      make("li", {}, ordinal ? `${id} #${ordinal}` : id, make("small", {}, ` ${shown(relevance ?? score)}`)))));
  return make("details", { class: "w-fold w-example" },
    make("summary", {}, `${title} · ${collection} · ${minute(at)} · RBO ${shown(rbo)}`),
    make("div", { class: "w-orders" }, list("beforeList", before), list("afterList", after)));
}
