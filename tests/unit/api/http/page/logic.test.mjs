// The page's logic, without a browser: `node --test`. tests/unit/api/http/page/test_logic.py runs it.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

const STATIC = fileURLToPath(new URL("../../../../../api/http/page/static", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "winnow-page-")); // Node takes the scripts for modules only next to this file
after(() => rmSync(folder, { recursive: true }));
cpSync(STATIC, folder, { recursive: true });
writeFileSync(join(folder, "package.json"), '{"type": "module"}');
const load = (name) => import(pathToFileURL(join(folder, name)));

const logic = await load("logic.js");
const filters = await load("search/filter.js");
const files = await load("files.js");
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

test("a text that starts with a bracket is not taken for JSON", () => {
  assert.deepEqual(logic.parseDocuments("[1] Introduction\n{name} is a variable"), ["[1] Introduction", "{name} is a variable"]);
  assert.deepEqual(logic.parseDocuments("[\n]"), []);
});

test("documents that cannot be read name the field and the place", () => {
  for (const [text, word, detail] of [
    ['["a", ', "notJson", /./],
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
  const input = {
    collection: "c", query: "q", filter: " ", recall: "", candidates: "20", results: "10", depth: "", rerank: "auto", instruction: null,
  };
  const always = { query: "q", collection: "c", candidates: 20, top_k: 10, neighbours: 1 };
  assert.deepEqual(logic.searchBody(input), always);
  const chosen = { filter: '{"type":"eq"}', recall: "dense", depth: "adaptive", rerank: "never", instruction: "i" };
  assert.deepEqual(logic.searchBody({ ...input, ...chosen }), {
    ...always, recall: "dense", depth: "adaptive", rerank: false, instruction: "i", filter: { type: "eq" },
  });
  assert.throws(() => logic.searchBody({ ...input, filter: "{" }), { field: "filter" });
});

test("variables are typed, and empty ones keep their default", () => {
  const variables = [{ name: "since", type: "integer" }, { name: "code", type: "string" }, { name: "more", type: "string" }];
  assert.deepEqual(logic.variableValues(variables, { since: "2023", code: "7", more: "" }), { since: 2023, code: "7" });
  assert.deepEqual(logic.variableValues(variables, { since: 2023 }), { since: 2023 }); // as the examples have it
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

test("a document is cut into its pieces by code points", () => {
  const cut = (found, near, hit) => logic.piecesOf(found, { near, hit }).map(({ kind, text }) => `${kind}:${text}`);
  const found = { text: "a😀b😀cd", start: 10 };
  assert.deepEqual(cut(found, { start: 11, end: 15 }, { start: 12, end: 14 }), ["text:a", "near:😀", "hit:b😀", "near:c", "text:d"]);
  // Neighbours that lie beyond the loaded part are cut, not shifted.
  assert.deepEqual(cut(found, { start: 2, end: 99 }, { start: 10, end: 11 }), ["text:", "near:", "hit:a", "near:😀b😀cd", "text:"]);
});

test("a passage tells its headings and its place", () => {
  const said = (key, values = {}) => `${key.slice(6)}${Object.values(values).join("-") && ` ${Object.values(values).join("-")}`}`;
  const place = (result) => logic.placeOf(result, (key, values) => (key === "place.joint" ? ", " : said(key, values)));
  assert.deepEqual(place({ section: ["Buying", "Returns"], location: { page: 12 } }), { section: "Buying > Returns", where: "page 12" });
  assert.equal(place({ location: { sheet: "Q3", row: 40, row_end: 52 } }).where, "sheet Q3, rows 40-52");
  assert.equal(place({ location: { line: 3, line_end: 3, symbol: "Client.send", anchor: "a" } }).where, "line 3, Client.send, #a");
  assert.deepEqual(place({}), { section: "", where: "" });
});

test("neighbours are in the context, or are results themselves", () => {
  const of = (ordinal, start, end, context) => ({ document_id: "d", chunk: { ordinal, start, end }, context });
  const hit = of(1, 10, 20, { before: null, after: { start: 20, end: 30 } });
  const other = { ...of(0, 0, 5, null), document_id: "e" };
  assert.deepEqual(logic.neighboursOf(hit, [hit, other, of(0, 0, 11, null)]), { start: 0, end: 30 });
  assert.deepEqual(logic.neighboursOf(of(0, 0, 5, null), [other]), { start: 0, end: 5 });
});

test("rows of the builder become a filter, typed as the attributes are", () => {
  const attributes = { year: "number", lang: "text", draft: "boolean", code: "number or text", tags: "list of texts" };
  const of = (rows, join = "and") => filters.filterOf(rows.map(([key, operator, text]) => ({ key, operator, text })), join, attributes);
  assert.equal(of([]), null);
  assert.deepEqual(of([["year", "gte", "2020"]]), { type: "gte", key: "year", value: 2020 });
  assert.deepEqual(of([["lang", "eq", "2020"], ["draft", "eq", "false"]], "or"), {
    type: "or", filters: [{ type: "eq", key: "lang", value: "2020" }, { type: "eq", key: "draft", value: false }],
  });
  assert.deepEqual(of([["lang", "in", 'zh, "a, ""b""" ,en']]), { type: "in", key: "lang", value: ["zh", 'a, "b"', "en"] });
  assert.deepEqual(of([["year", "nin", "1, 2.5,x"]]).value, [1, 2.5, "x"]);
  assert.deepEqual(of([["code", "eq", "7"]]).value, 7);
  assert.deepEqual(of([["tags", "absent", "ignored"]]), { type: "eq", key: "tags", value: null });
  assert.deepEqual(of([["tags", "present", ""]]), { type: "ne", key: "tags", value: null });
  assert.equal(of([["year", "eq", "soon"]]).value, "soon"); // the service tells what is wrong
  assert.ok(!filters.operatorsOf("boolean").includes("gt"));
});

test("a filter becomes rows that give it back, or none", () => {
  const attributes = { year: "number", lang: "text", draft: "boolean", code: "number or text" };
  const shown = [
    { type: "gte", key: "year", value: 2020 },
    { value: null, key: "lang", type: "ne" },
    { type: "or", filters: [{ type: "in", key: "lang", value: ["a,b", "c"] }, { type: "eq", key: "draft", value: true }] },
    { type: "and", filters: [{ type: "lt", key: "year", value: -1.5 }, { type: "nin", key: "year", value: [1, 2] }] },
  ];
  for (const filter of [null, ...shown]) {
    const { rows, join } = filters.rowsOf(filter, attributes);
    assert.deepEqual(filters.filterOf(rows, join, attributes), filter);
  }
  const notShown = [
    { type: "and", filters: [shown[0], { type: "or", filters: shown.slice(0, 2) }] }, // nested
    { type: "and", filters: [shown[0]] }, // another filter than its only part
    { type: "eq", key: "lang", value: 5 }, // a row would send a text
    { type: "eq", key: "code", value: "7" }, // a row would send a number
    { type: "eq", key: "year", value: [1] }, { type: "in", key: "year", value: 1 }, { type: "in", key: "lang", value: [] },
    { type: "near", key: "year", value: 1 }, { type: "absent", key: "year" }, { key: "year" }, [], 5, "x", {},
  ];
  for (const filter of notShown) {
    const found = filters.rowsOf(filter, attributes);
    assert.ok(found === null || JSON.stringify(filters.filterOf(found.rows, found.join, attributes)) === JSON.stringify(filter), JSON.stringify(filter));
  }
  assert.equal(filters.rowsOf(notShown[0], attributes), null);
});

const fileOf = (name, content) => new File([content], name);

test("files are read by their ending", async () => {
  const read = (name, content) => files.readDocuments(fileOf(name, content));
  assert.deepEqual(await read("a.TXT", "\ufeffone\r\n\n two \n"), ["one", "two"]);
  assert.deepEqual(await read("a.jsonl", '{"text": "a", "year": 1}\n\n"b"\n'), [{ text: "a", year: 1 }, "b"]);
  assert.deepEqual(await read("a.csv", 'id,Text\n1,"a ""b"", c\nd"\r\n2,e\n\n'), ['a "b", c\nd', "e"]);
  assert.deepEqual(await read("a.csv", "id;text\n1;甲，乙\n"), ["甲，乙"]);
  assert.deepEqual(await read("a.csv", "one\ntwo\n"), ["one", "two"]);
});

test("a file that cannot be read names its fault", async () => {
  for (const [name, content, word, detail] of [
    ["a.pdf", "x", "fileKind", "a.pdf"],
    ["txt", "", "fileEmpty", "txt"],
    ["a.txt", " \n\n", "fileEmpty", "a.txt"],
    ["a.txt", new Uint8Array([0xd6, 0xd0]), "fileEncoding", "a.txt"],
    ["a.txt", "x".repeat(8_000_001), "fileSize", "a.txt"],
    ["a.txt", "x\n".repeat(1_001), "fileMany", "1001"],
    ["a.csv", "id,body\n1,a", "csvColumn", "id, body"],
    ["a.csv", 'text\na\n"b\nc', "csvQuote", "3"],
    ["a.jsonl", '"a"\n\n{"text"', "notJsonLine", /^3: /],
    ["a.jsonl", '"a"\n{"body": "b"}', "notDocument", "2"],
  ]) {
    await assert.rejects(files.readDocuments(fileOf(name, content)), (error) => {
      assert.equal(error.field, "documents");
      assert.equal(error.message, word);
      assert.match(error.detail, detail instanceof RegExp ? detail : new RegExp(`^${detail}$`));
      return word in WORDS.en;
    });
  }
});

test("what a file held stands in the input so that it is read again", async () => {
  for (const documents of [["a", "b"], ["[a", "b"], ["{a"], ["a\nb", "c"], [" a"], [{ text: "a", n: 1 }, "b"], ['"q"', "x"]]) {
    assert.deepEqual(logic.parseDocuments(files.inputText(documents)), documents);
  }
  assert.equal(files.inputText(["a", "b"]), "a\nb");
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
  const keys = fragments.flatMap((name) => [...readFileSync(join(STATIC, name), "utf8").matchAll(/data-word(?:-\w+)?="([^"]+)"/g)]);
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
