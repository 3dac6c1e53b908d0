// The page's logic, without a browser: `node --test`. tests/unit/api/http/page/test_logic.py runs it.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";

const STATIC = new URL("../../../../../api/http/page/static/", import.meta.url);
const load = (name) => import(`data:text/javascript,${encodeURIComponent(readFileSync(new URL(name, STATIC), "utf8"))}`);
const logic = await load("logic.js");
const { WORDS, addWords } = await load("words.js");
const ofTabs = readdirSync(STATIC, { recursive: true }).filter((name) => /(^words_.*|\/words)\.js$/.test(name));
for (const name of ofTabs) addWords((await load(name)).WORDS);
const { EXAMPLES } = await load("examples.js");

test("documents are lines, a JSON list, or JSON lines", () => {
  assert.deepEqual(logic.parseDocuments(" a \r\n\n b\n"), ["a", "b"]);
  assert.deepEqual(logic.parseDocuments(""), []);
  assert.deepEqual(logic.parseDocuments('["a", {"text": "b", "year": 1}]'), ["a", { text: "b", year: 1 }]);
  assert.deepEqual(logic.parseDocuments('{"text": "a"}\n\n{"text": "b"}'), [{ text: "a" }, { text: "b" }]);
});

test("documents that cannot be read name the field and the place", () => {
  for (const [text, word, detail] of [
    ["[1, ", "notJson", /./],
    ['{"text": "a"}\n{', "notJsonLine", /^2: /],
    ['["a", 3]', "notDocument", /^2$/],
    ['["a", null]', "notDocument", /^2$/],
    ['[{"title": "a"}]', "notDocument", /^1$/],
  ]) {
    assert.throws(() => logic.parseDocuments(text), (error) => {
      assert.equal(error.field, "documents");
      assert.equal(error.message, word);
      assert.match(error.detail, detail);
      return word in WORDS.en;
    });
  }
});

test("movement counts places against the given order, and cut documents are marked", () => {
  const results = [3, 0, 1, 2].map((index) => ({ index, relevance_score: 1 - index / 10 }));
  const answer = { results, meta: { warnings: ["only the beginning of document 1 was judged"] } };
  const rows = logic.rerankRows(["a", { text: "b" }, "c", "d"], answer);
  assert.deepEqual(rows.map(({ moved }) => moved), [3, -1, -1, -1]);
  assert.deepEqual(rows.map(({ given }) => given), [4, 1, 2, 3]);
  assert.deepEqual(rows.map(({ isCut }) => isCut), [false, false, true, false]);
  assert.deepEqual(rows.map(({ text }) => text), ["d", "a", "b", "c"]);
});

test("a search sends what was chosen, and nothing that was not", () => {
  const input = { collection: "c", query: "q", filter: " ", recall: "", candidates: "20", rerank: "auto", instruction: null };
  assert.deepEqual(logic.searchBody(input), { query: "q", collection: "c", candidates: 20, top_k: 20 });
  const all = { ...input, filter: '{"type":"eq"}', recall: "dense", candidates: "900", rerank: "never", instruction: "i" };
  assert.deepEqual(logic.searchBody(all), {
    query: "q", collection: "c", candidates: 900, top_k: 200, recall: "dense", rerank: false, instruction: "i",
    filter: { type: "eq" },
  });
  assert.throws(() => logic.searchBody({ ...input, filter: "{" }), { field: "filter" });
});

test("variables are typed, and empty ones keep their default", () => {
  const variables = [{ name: "since", type: "integer" }, { name: "code", type: "string" }, { name: "more", type: "string" }];
  assert.deepEqual(logic.variableValues(variables, { since: "2023", code: "7", more: "" }), { since: 2023, code: "7" });
  assert.deepEqual(logic.variableValues(variables, { since: "soon" }), { since: "soon" }); // the service tells what is wrong
});

test("the columns hold the same results in both orders", () => {
  const results = [2, 3, 1].map((recall_rank) => ({ recall_rank }));
  const { recalled, ranked } = logic.searchColumns({ results });
  assert.deepEqual(recalled.map((each) => each.recall_rank), [1, 2, 3]);
  assert.deepEqual(ranked.map(({ moved }) => moved), [1, 1, -2]);
});

test("a stage that did not run has no time", () => {
  const times = logic.stageTimes({ embed: 1, recall: 4, fetch: 2, rerank: null });
  assert.deepEqual(times.map(({ ms }) => ms), [1, 4, 2, null]);
  assert.deepEqual(times.map(({ share }) => share), [0.25, 1, 0.5, 0]);
});

test("the curl line survives quotes, and never holds a key", () => {
  const line = logic.curlLine({ url: "http://h/v1/rerank", body: { query: "it's" }, hasKey: true });
  assert.ok(line.includes(`-d '{"query":"it'\\''s"}'`));
  assert.ok(line.includes('"Authorization: Bearer $WINNOW_KEY"'));
  assert.ok(!logic.curlLine({ url: "u", body: {}, hasKey: false }).includes("Authorization"));
});

test("an error stands at the field that the service names", () => {
  const fields = ["query", "collection", "filter", "instruction"];
  const at = (status, error) => logic.fieldAtFault(status, { error }, fields);
  assert.equal(at(401, { code: "key_refused" }), "key");
  assert.equal(at(422, { param: "filter.value" }), "filter");
  assert.equal(at(422, { param: "variables.since" }), "instruction");
  assert.equal(at(404, { code: "collection_not_found" }), "collection");
  assert.equal(at(404, { code: "instruction_not_found" }), "instruction");
  assert.equal(at(422, { code: "variable_refused", param: null }), "instruction");
  assert.equal(at(503, { code: "overloaded", param: null }), null);
  assert.equal(logic.fieldAtFault(502, {}, fields), null);
});

test("offsets are code points", () => {
  assert.deepEqual(logic.splitAtHit("a😀b😀c", 1, 4), ["a", "😀b😀", "c"]);
});

test("the newest published version of each instruction can be chosen", () => {
  const of = (name, version, state) => ({ name, version, state });
  const library = {
    instructions: [of("a", 1, "published"), of("a", 3, "draft"), of("a", 2, "published"), of("b", 1, "retired")],
    built_in: [of("builtin/c", 1, "published")],
  };
  assert.deepEqual(logic.choices(library).map(({ name, version }) => `${name}@${version}`), ["a@2", "builtin/c@1"]);
});

test("both languages have the same words with the same values", () => {
  const flat = (words, prefix = "") =>
    Object.entries(words).flatMap(([key, text]) =>
      typeof text === "string" ? [[prefix + key, (text.match(/\{\w+\}/g) ?? []).sort().join()]] : flat(text, `${prefix}${key}.`),
    );
  assert.deepEqual(Object.fromEntries(flat(WORDS.zh)), Object.fromEntries(flat(WORDS.en)));
});

test("every word of the frame exists", () => {
  const known = (key) => typeof key.split(".").reduce((found, part) => found?.[part], WORDS.en) === "string";
  const fragments = readdirSync(STATIC, { recursive: true }).filter((name) => name.endsWith(".html"));
  const keys = fragments.flatMap((name) => [...readFileSync(new URL(name, STATIC), "utf8").matchAll(/data-word(?:-\w+)?="([^"]+)"/g)]);
  assert.ok(keys.length > 80);
  assert.deepEqual(keys.map(([, key]) => key).filter((key) => !known(key)), []);
});

test("every example has both languages and at least five documents of one line", () => {
  assert.equal(EXAMPLES.length, 4);
  for (const { documents, query, title } of EXAMPLES.flatMap(({ en, zh }) => [en, zh])) {
    assert.ok(documents.length >= 5 && documents.every((text) => text && !text.includes("\n")));
    assert.ok(query && title);
  }
});
