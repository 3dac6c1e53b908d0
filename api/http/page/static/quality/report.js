// The charts and tables of an evaluation.

import { differenceChart, lineChart } from "../charts.js";
import { make } from "../dom.js";
import { STAGES } from "../logic.js";
import { say } from "../words.js";
import { comparisonOf, countsOf, curvesOf, differencesOf, drawsOf, extremesOf, meansOf, namesOf } from "./logic.js";

const EXTREMES = 5;
const NUMBER = 4; // digits of a measure

/** `choose` is called with the runs to compare by query: [run, against, the id of the field that changed]. */
export function reportParts(evaluation, measure, compared, choose) {
  const { report } = evaluation;
  const { runs } = namesOf(evaluation);
  return [
    ...(report ? [conditions(report)] : []),
    make("div", { class: "w-charts" }, means(evaluation, measure), ...curves(report, measure)),
    ...(report?.comparisons?.some((each) => each.measure === measure) ? [comparisons(report, measure, runs)] : []),
    ...(runs.length > 1 ? [byQuery(evaluation, measure, runs, compared, choose)] : []),
    ...(report?.runs.some(({ timings }) => timings) ? [times(report)] : []),
  ];
}

function conditions({ queries, documents, embedder, rerankers, reranker }) {
  const judges = (rerankers ?? [reranker]).filter(Boolean).join(", ");
  return make("p", { class: "w-summary" }, say("quality.conditions", { queries, documents, embedder, rerankers: judges }));
}

function means(evaluation, measure) {
  const found = meansOf(evaluation, measure);
  const most = Math.max(...found.map(({ mean, high }) => high ?? mean), 1e-9);
  const share = (value) => `${Math.max(0, Math.min(100, (100 * value) / most))}%`;
  const rows = found.map(({ name, mean, low, high }) => {
    const bar = make("span", { class: "w-track", "aria-hidden": "true" }, make("i"), low === null ? null : make("s"));
    bar.firstChild.style.width = share(mean);
    if (low !== null) Object.assign(bar.lastChild.style, { left: share(low), width: `calc(${share(high)} - ${share(Math.max(low, 0))})` });
    const interval = low === null ? null : make("small", {}, `${low.toFixed(3)} – ${high.toFixed(3)}`);
    return make("div", { class: "w-mean" }, make("dt", {}, name), make("dd", {}, bar, make("b", {}, mean.toFixed(NUMBER)), interval));
  });
  const kind = found.at(-1).kind;
  const note = kind === "mean" ? say("quality.ofMean", { draws: drawsOf(evaluation.queries.length) })
    : kind === "difference" ? say("quality.ofDifference", { first: found[0].name }) : "";
  return make("figure", { class: "w-figure" }, make("figcaption", {}, say("quality.means", { measure })), make("dl", {}, ...rows),
    make("p", { class: "w-help" }, note));
}

function curves(report, measure) {
  return [["by_cutoff", "cutoff"], ["by_reranked", "reranked"]].flatMap(([field, word]) => {
    const found = curvesOf(report, field, measure);
    return found ? [lineChart(say(`quality.${word}`, { measure }), { ...found, x: say(`quality.${word}Axis`) })] : [];
  });
}

function table(names, rows) {
  const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, place) => make("td", { "data-label": names[place] }, cell))));
  return make("table", { class: "w-figures" }, make("thead", {}, head), make("tbody", {}, ...body));
}

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(NUMBER)}`;

function comparisons(report, measure, runs) {
  const pairs = runs.flatMap((against, place) => runs.slice(place + 1).map((run) => comparisonOf(report, run, against, measure))).filter(Boolean);
  const most = Math.max(...pairs.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)]), 1e-9);
  const words = ["run", "against", "mean", "interval", "p", "holm"].map((word) => say(`quality.${word}`));
  const rows = pairs.map(({ run, against, mean, low, high, p, p_holm: holm }) => [
    run, against, signed(mean), intervalCell(low, high, most), p.toFixed(NUMBER), holm.toFixed(NUMBER),
  ]);
  return make("section", {}, make("h2", {}, say("quality.comparisons")), table(words, rows), make("p", { class: "w-help" }, say("quality.method")));
}

function intervalCell(low, high, most) {
  const place = (value) => 50 + (50 * value) / most;
  const line = make("span", { class: "w-interval", "aria-hidden": "true" }, make("i"), make("s"));
  Object.assign(line.firstChild.style, { left: `${place(low)}%`, width: `${place(high) - place(low)}%` });
  line.classList.add(low > 0 ? "w-win" : high < 0 ? "w-loss" : "w-even");
  return make("span", {}, `${signed(low)} – ${signed(high)}`, line);
}

function byQuery(evaluation, measure, runs, [run, against], choose) {
  const title = make("h2", {}, say("quality.differences", { measure }));
  const found = differencesOf(evaluation, run, against, measure);
  if (!found) return make("section", {}, title, make("p", { class: "w-empty" }, say("quality.noQueries")));
  const select = (id, word, value, others) => {
    const input = make("select", { id: `quality-${id}` }, ...runs.map((name) => make("option", { value: name }, name)));
    input.value = value;
    input.addEventListener("change", () => choose(others(input.value)));
    return make("div", { class: "w-field" }, make("label", { for: `quality-${id}` }, say(`quality.${word}`)), input);
  };
  const fields = make("div", { class: "w-row" }, select("run", "compared", run, (name) => [name, against, "run"]),
    select("against", "with", against, (name) => [run, name, "against"]));
  const entries = found.map(({ value, id, text }) => ({ value, title: `${id} ${text}: ${signed(value)}` }));
  const name = `${run} − ${against}`;
  const words = ["query", "before", "after", "difference"].map((word) => say(`quality.${word}`));
  const rows = extremesOf(found, EXTREMES).map(({ id, text, before, after, value }) => [
    make("span", { class: "w-text-of" }, make("b", {}, id), ` ${text}`), before.toFixed(NUMBER), after.toFixed(NUMBER),
    make("span", { class: `w-move ${value > 0 ? "w-up" : "w-down"}` }, signed(value)),
  ]);
  const counts = make("p", { class: "w-help" }, say("quality.counts", countsOf(found)));
  return make("section", {}, title, fields, differenceChart(name, entries, counts),
    ...(rows.length ? [make("h3", {}, say("quality.extremes")), table(words, rows)] : []));
}

function times(report) {
  const shown = (value) => (value === null || value === undefined ? "–" : value.toFixed(1));
  const words = [say("quality.run"), ...STAGES.map((stage) => say("quality.stages", { stage: say(`stage.${stage}`) })),
    say("quality.total"), say("quality.tokens"), say("quality.cost")];
  const rows = report.runs.filter(({ timings }) => timings).map(({ name, timings, tokens, cost_per_1000: cost }) => [
    name, ...STAGES.map((stage) => shown(timings[stage]?.p50)),
    ["p50", "p90", "p99"].map((share) => shown(timings.total[share])).join(" / "),
    tokens ? String(Math.round(tokens.rerank)) : "–", cost === null || cost === undefined ? "–" : cost.toFixed(4),
  ]);
  return make("section", {}, make("h2", {}, say("quality.times")), table(words, rows), make("p", { class: "w-help" }, say("quality.milliseconds")));
}
