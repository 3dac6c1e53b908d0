// The logic of Compare, Instructions and Quality, without a browser: `node --test`. test_logic.py runs it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const STATIC = new URL("../../../../../api/http/page/static/", import.meta.url);
const load = (name) => import(`data:text/javascript,${encodeURIComponent(readFileSync(new URL(name, STATIC), "utf8"))}`);
const compare = await load("compare/logic.js");
const instructions = await load("instructions/logic.js");
const quality = await load("quality/logic.js");

const answer = (order, scores) => ({
  model: "m", meta: { winnow: { instruction_applied: true } },
  results: order.map((index, place) => ({ index, relevance_score: scores[place] })),
});

test("candidates come from recall, and no more than a search returns", () => {
  assert.deepEqual(compare.recallBody({ collection: "c", query: "q", candidates: "300" }),
    { query: "q", collection: "c", candidates: 300, top_k: 200, rerank: false });
});

test("the reranker reads of a candidate what it reads in a search of the collection", () => {
  const result = { document_id: "d", title: "T", url: null, text: "x", metadata: { year: 2024 } };
  assert.deepEqual(compare.documentsOf([result, { ...result, title: "" }], []), ["T\nx", "x"]);
  assert.deepEqual(compare.documentsOf([result], ["year"]), [{ year: 2024, id: "d", title: "T", url: "", text: "T\nx" }]);
  const collection = { reranker: "own", rerank_fields: ["year"], rerank_field_tokens: 64 };
  const input = { query: "q", documents: ["x"], instruction: null, reranker: "", collection };
  assert.deepEqual(compare.columnBody(input), {
    query: "q", documents: ["x"], model: "own", rerank_fields: ["year"], rerank_field_tokens: 64, return_documents: false,
  });
  assert.equal(compare.columnBody({ ...input, reranker: "other" }).model, "other");
  const plain = compare.columnBody({ ...input, collection: undefined, instruction: "i" });
  assert.deepEqual(plain, { query: "q", documents: ["x"], instruction: "i", return_documents: false });
});

test("moves are counted against the first column", () => {
  const [one, other] = [answer([2, 0, 1], [0.9, 0.5, 0.1]), answer([0, 1, 2], [0.8, 0.4, 0.2])].map(compare.columnOf);
  assert.deepEqual(one.scores, [0.5, 0.1, 0.9]);
  assert.deepEqual(compare.rowsOf(other, one).map(({ index, moved }) => [index, moved]), [[0, 1], [1, 1], [2, -2]]);
  assert.deepEqual(compare.movesOf(one, other), { moved: 3, of: 3, largest: { index: 2, moved: -2 } });
  assert.deepEqual(compare.movesOf(one, one), { moved: 0, of: 3, largest: { moved: 0 } });
  assert.deepEqual(compare.pairsOf(3), [[0, 1], [0, 2], [1, 2]]);
  assert.deepEqual(compare.linesOf([one, other], 1), [{ index: 2, places: [0, 2] }, { index: 0, places: [1, 0] }]);
});

const version = (name, number, more = {}) =>
  ({ name, version: number, state: "published", text: "t", purpose: "", language: "en", variables: [], collections: [], ...more });

test("own instructions come first, the page's language before the other", () => {
  const library = {
    instructions: [version("mine", 1), version("mine", 2, { state: "draft", text: "about herons" })],
    built_in: [version("builtin/b-zh", 1, { language: "zh" }), version("builtin/a", 1)],
  };
  const names = instructions.byName(library, "zh");
  assert.deepEqual(names.map(({ name }) => name), ["mine", "builtin/b-zh", "builtin/a"]);
  assert.deepEqual(names[0].versions.map((each) => each.version), [2, 1]);
  assert.deepEqual(instructions.matching(names, "HERONS mine").map(({ name }) => name), ["mine"]);
  assert.equal(instructions.matching(names, "nothing").length, 0);
  assert.equal(instructions.ownName("builtin/a"), "a");
});

test("a draft keeps what the editor does not show, and leaves out what is empty", () => {
  const old = version("mine", 1, { variables: [{ name: "x" }], collections: ["c"], note: "n" });
  const values = instructions.editorValues(old);
  assert.deepEqual(JSON.parse(values.variables), [{ name: "x" }]);
  assert.deepEqual(instructions.contentBody(values, [{ name: "x" }], old),
    { text: "t", language: "en", note: "n", variables: [{ name: "x" }], collections: ["c"] });
  assert.deepEqual(instructions.contentBody(instructions.editorValues(null), [], null), { text: "" });
});

test("errors of a content stand at its field", () => {
  const at = (error) => instructions.editorField({ error });
  assert.equal(at({ param: "content.text" }), "text");
  assert.equal(at({ param: "variables.0.name" }), "variables");
  assert.equal(at({ param: "name" }), "name");
  assert.equal(at({ code: "variable_refused", param: null }), "variables");
  assert.equal(at({ code: "overloaded", param: null }), null);
  assert.equal(at({ message: "Invalid request: text: variable 'x' is not declared", param: null }), "text");
  assert.equal(at({ message: "Invalid request: 'X' is not a valid instruction name; use a-z", param: null }), "name");
  assert.equal(at({ message: "Overloaded: try later", param: null }), null);
});

test("pieces of a prompt are joined by part, and their tokens counted", () => {
  const pieces = [["prefix", "<s>", 1], ["instruction", "a", 1], ["instruction", "🜚", 3], ["prefix", "b", 1]]
    .map(([part, text, tokens]) => ({ part, text, tokens }));
  assert.deepEqual(instructions.runsOf(pieces).map(({ text }) => text), ["<s>", "a🜚", "b"]);
  assert.deepEqual(instructions.tokensOf(pieces), [{ part: "prefix", tokens: 2 }, { part: "instruction", tokens: 4 }]);
});

test("a shadow sends what was chosen", () => {
  assert.deepEqual(instructions.shadowBody({ version: "2", share: "0.5", live: " ", keepQueries: false }), { version: 2, share: 0.5 });
  assert.deepEqual(instructions.shadowBody({ version: "2", share: "1", live: "default", keepQueries: true }),
    { version: 2, share: 1, live: "default", keep_queries: true });
});

const report = { runs: [{ name: "a", metrics: { "nDCG@10": 0.5 } }, { name: "b", metrics: { "nDCG@10": 0.7 } }] };
const query = (id, a, b) => ({ id, text: `text ${id}`, runs: { a: { "nDCG@10": a }, b: { "nDCG@10": b } } });
const queries = [query("q1", 0.2, 0.9), query("q2", 0.8, 0.5), query("q3", 0.5, 0.5)];

test("a file of eval is known by its content", () => {
  assert.deepEqual(quality.readEvaluation(JSON.stringify(report)), { report });
  assert.deepEqual(quality.readEvaluation(queries.map((each) => JSON.stringify(each)).join("\n")), { queries });
  for (const text of ["", "{", "[]", "null", '{"runs": [{"name": 1}]}', '{"runs": [{"name": "a", "metrics": {"x": "1"}}]}', '{"id": "q"}']) {
    assert.throws(() => quality.readEvaluation(text), { message: "quality.notEvaluation" });
  }
});

test("intervals are of the mean where the queries are there, else of the difference", () => {
  const comparisons = [{ measure: "nDCG@10", run: "b", against: "a", mean: 0.2, low: 0.1, high: 0.4, p: 0.01, p_holm: 0.02 }];
  const [first, second] = quality.meansOf({ report: { ...report, comparisons } }, "nDCG@10");
  assert.equal(first.kind, null);
  assert.deepEqual([second.kind, second.low, second.high].map((each) => (typeof each === "number" ? each.toFixed(6) : each)),
    ["difference", "0.600000", "0.900000"]);
  const turned = quality.comparisonOf({ comparisons }, "a", "b", "nDCG@10");
  assert.deepEqual([turned.mean, turned.low, turned.high], [-0.2, -0.4, -0.1]);
  const found = quality.meansOf({ queries }, "nDCG@10");
  assert.deepEqual(found.map(({ name, kind, mean }) => [name, kind, mean.toFixed(4)]), [["a", "mean", "0.5000"], ["b", "mean", "0.6333"]]);
  assert.ok(found.every(({ low, mean, high }) => low < mean && mean < high));
});

test("a bootstrap has the width that the standard error gives", () => {
  const values = Array.from({ length: 400 }, (_, place) => (place % 10) / 10);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const error = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length / values.length);
  const { low, high } = quality.bootstrap(values);
  assert.ok(Math.abs(low - (mean - 1.96 * error)) < 0.15 * error && Math.abs(high - (mean + 1.96 * error)) < 0.15 * error);
  assert.deepEqual(quality.bootstrap(values), { low, high });
  assert.deepEqual(quality.bootstrap([0.5]), { low: 0.5, high: 0.5 });
});

test("differences are sorted, and none counts as no win", () => {
  const found = quality.differencesOf({ queries }, "b", "a", "nDCG@10");
  assert.deepEqual(found.map(({ id }) => id), ["q1", "q3", "q2"]);
  assert.deepEqual(quality.countsOf(found), { wins: 1, losses: 1, ties: 1 });
  assert.deepEqual(quality.extremesOf(found, 5).map(({ id }) => id), ["q1", "q2"]);
  assert.equal(quality.differencesOf({ report }, "b", "a", "nDCG@10"), null);
});

test("the run that differs most is compared first", () => {
  const runs = [["a", 0.5], ["b", 0.5], ["c", 0.2], ["d", 0.6]].map(([name, value]) => ({ name, metrics: { x: value } }));
  assert.equal(quality.farthestOf({ report: { runs } }, "x"), "c");
  assert.equal(quality.farthestOf({ report: { runs: runs.slice(0, 1) } }, "x"), "a");
});

test("curves share their places", () => {
  const curve = (x, y) => ({ measure: "nDCG@10", x, y });
  const runs = [{ name: "a", by_cutoff: curve([1, 5], [0.1, 0.2]) }, { name: "b", by_cutoff: null }, { name: "c", by_cutoff: curve([5, 10], [0.3, 0.4]) }];
  assert.deepEqual(quality.curvesOf({ runs }, "by_cutoff", "nDCG@10"), {
    places: ["1", "5", "10"],
    series: [{ name: "a", kind: 0, values: [0.1, 0.2, null] }, { name: "c", kind: 1, values: [null, 0.3, 0.4] }],
  });
  assert.equal(quality.curvesOf({ runs }, "by_cutoff", "R@100"), null);
  assert.equal(quality.curvesOf(undefined, "by_cutoff", "nDCG@10"), null);
});

const watch = await load("watch/logic.js");

test("a report is asked for of a collection and of some days", () => {
  assert.equal(watch.reportPath("", ""), "v1/stability");
  assert.equal(watch.reportPath("a b", "7"), "v1/stability?collection=a+b&days=7");
});

test("a chart has every day, a line for each instruction and golden set, and marks at their day", () => {
  const day = (date, overlap) => ({ day: date, collection: "c", instruction: "i@1", overlap_at_10: overlap });
  const run = (at, overlap) => ({ name: "g", at, measures: overlap === null ? null : { overlap_at_10: overlap } });
  const report = {
    days: [day("2026-02-27", null), day("2026-03-01", 0.9)],
    runs: [run("2026-03-01T12:00:00+00:00", 0.4), run("2026-03-01T09:00:00+00:00", 0.6), run("2026-02-27T09:00:00+00:00", null)],
    marks: [{ at: "2026-02-28T10:00:00+00:00" }],
  };
  assert.deepEqual(watch.chartOf(report, "overlap_at_10", ({ name, instruction }) => name ?? instruction), {
    places: ["2026-02-27", "2026-02-28", "2026-03-01"],
    series: [{ name: "i@1", values: [null, null, 0.9], kind: 0 }, { name: "g", values: [null, null, 0.4], kind: 1 }],
    marks: [{ place: 1, mark: report.marks[0] }],
  });
  assert.ok(watch.isEmpty({ days: [], runs: [] }) && !watch.isEmpty(report));
});

test("what has no run or no figure is not an evaluation", () => {
  for (const text of ['{"runs": []}', '{"runs": [{"name": "a", "metrics": {}}]}', '{"id": "q", "runs": {}}', '{"id": "q", "runs": {"a": {}}}', "null", ""]) {
    assert.throws(() => quality.readEvaluation(text), { message: "quality.notEvaluation" }, text);
  }
});

test("of many queries fewer resamples are drawn, and never few", () => {
  assert.deepEqual([20, 2_000, 4_000, 1_000_000].map(quality.drawsOf), [2_000, 2_000, 1_000, 200]);
});
