// What the page computes: requests, movements, errors. No document, no network: tested without a browser.

export class InputError extends Error {
  // `field` is the wire's name of the input at fault, `word` the key of the message in words.js.
  constructor(field, word, detail = "") {
    super(word);
    Object.assign(this, { field, word, detail });
  }
}

/** A number as it is written. One that JavaScript would change, such as an integer beyond 2^53, keeps its digits where
 * the browser has JSON.rawJSON. */
const asWritten = (value, source) =>
  source === undefined || Number.isSafeInteger(value) || !(Number.isInteger(value) || !Number.isFinite(value)) ? value : JSON.rawJSON(source);

/** JSON.parse that changes no number. */
export const readJson = (text) =>
  JSON.parse(text, (_, value, context) => (typeof value === "number" ? asWritten(value, JSON.rawJSON && context?.source) : value));

/** The number that a field holds; undefined if it holds none. */
export function readNumber(text) {
  const trimmed = text.trim();
  if (trimmed === "" || !Number.isFinite(Number(trimmed))) return undefined;
  const isJson = /^-?(0|[1-9]\d*)$/.test(trimmed);
  return asWritten(Number(trimmed), JSON.rawJSON && isJson ? trimmed : undefined);
}

const JSON_START = /^(\[\s*(["{\]]|$)|\{\s*")/; // "[1] Introduction" is a text

/** Documents of the input: JSON where it starts as a list or an object, else one per line, without empty lines. */
export function parseDocuments(text) {
  const trimmed = text.trim();
  if (!JSON_START.test(trimmed)) {
    return trimmed.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
  }
  const isLines = trimmed.startsWith("{");
  return checked(isLines ? parseLines(trimmed) : parseJson(trimmed, "documents", "notJson"));
}

/** The documents, each a text or an object with one. */
function checked(read) {
  read.forEach((each, place) => {
    const isDocument = typeof each === "string" || (each !== null && typeof each?.text === "string");
    if (!isDocument) throw new InputError("documents", "notDocument", String(place + 1));
  });
  return read;
}

/** JSON Lines. Empty lines are left out. */
export function parseLines(text) {
  const numbered = text.split(/\r?\n/).map((line, place) => [line, place + 1]).filter(([line]) => line.trim());
  return checked(numbered.map(([line, number]) => {
    try {
      return readJson(line);
    } catch (error) {
      throw new InputError("documents", "notJsonLine", `${number}: ${error.message}`);
    }
  }));
}

export function parseJson(text, field, word) {
  try {
    return readJson(text);
  } catch (error) {
    throw new InputError(field, word, error.message);
  }
}

export function textOf(document) {
  return typeof document === "string" ? document : document.text;
}

/** Rows of the result table: `moved` is positive for places up. */
export function rerankRows(documents, answer) {
  const cut = cutIndexes(answer);
  return answer.results.map((result, place) => ({
    rank: place + 1,
    given: result.index + 1,
    moved: result.index - place,
    score: result.relevance_score,
    text: textOf(documents[result.index]),
    isCut: cut.has(result.index),
  }));
}

/** The API reports documents that the reranker read only in part as warnings of Cohere's shape. */
export function cutIndexes(answer) {
  const warnings = answer.meta?.warnings ?? [];
  const found = warnings.map((warning) => /only the beginning of document (\d+) /.exec(warning));
  return new Set(found.filter(Boolean).map((match) => Number(match[1])));
}

/** The text of an instruction in a request; null for none. */
export function rerankBody({ query, documents, instruction }) {
  return instruction ? { query, documents, instruction } : { query, documents };
}

/** `instruction` is a text, an object {name, version, variables}, or null. */
export function searchBody({ collection, query, filter, recall, candidates, results, depth, rerank, instruction }) {
  const body = { query, collection, candidates: Number(candidates), top_k: Number(results), neighbours: 1 };
  if (recall) body.recall = recall;
  if (depth) body.depth = depth;
  if (rerank !== "auto") body.rerank = rerank === "always" ? "always" : false;
  if (instruction) body.instruction = instruction;
  if (filter.trim()) body.filter = parseJson(filter, "filter", "notJson");
  return body;
}

/** The values of an instruction's variables as the API types them. Empty fields keep their default. */
export function variableValues(variables, typed) {
  const entries = variables.filter(({ name }) => (typed[name] ?? "") !== "").map(({ name, type }) => {
    const text = typed[name];
    return [name, type === "integer" && /^-?\d+$/.test(text) ? readNumber(String(text)) : text];
  });
  return Object.fromEntries(entries);
}

/** Both columns of a search: the same results in recall's order and in the final order. */
export function searchColumns(answer) {
  const results = answer.results;
  const recalled = [...results].sort((one, other) => one.recall_rank - other.recall_rank);
  const placeBefore = new Map(recalled.map((result, place) => [result, place]));
  const ranked = results.map((result, place) => ({ result, moved: placeBefore.get(result) - place }));
  return { recalled, ranked };
}

export const STAGES = ["embed", "recall", "fetch", "rerank"];

export function stageTimes(timings) {
  const longest = Math.max(...STAGES.map((stage) => timings[stage] ?? 0), 0.001);
  return STAGES.map((stage) => ({ stage, ms: timings[stage], share: (timings[stage] ?? 0) / longest }));
}

/** A curl line that sends this. The key is never printed: the shell reads it from WINNOW_KEY. */
export function curlLine({ method = "POST", url, body, hasKey }) {
  const parts = [`curl -sS ${method === "GET" ? "" : `-X ${method} `}${quoted(url)}`];
  if (hasKey) parts.push('-H "Authorization: Bearer $WINNOW_KEY"');
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(body))}`);
  return parts.join(" \\\n  ");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

const KEY_CODES = new Set([401, 403]);

/** Which field of the form an error of the API belongs to; null for the form as a whole. */
export function fieldAtFault(status, problem, fields) {
  if (KEY_CODES.has(status)) return "key";
  const param = (problem?.error?.param ?? "").split(".")[0];
  if (param === "instruct" || param === "variables") return "instruction";
  if (fields.includes(param)) return param;
  const code = problem?.error?.code ?? "";
  if (code.startsWith("collection_") && fields.includes("collection")) return "collection";
  return /^(instruction|variable)_/.test(code) && fields.includes("instruction") ? "instruction" : null;
}

/** The span of a hit and the passages next to it, in the document's characters. A neighbour that is a result itself
 * stands there only: an answer holds no text twice. */
export function neighboursOf(result, results) {
  const { ordinal, start, end } = result.chunk;
  const found = (step) =>
    results.find((each) => each.document_id === result.document_id && each.chunk.ordinal === ordinal + step)?.chunk;
  const before = result.context?.before ?? found(-1);
  const after = result.context?.after ?? found(1);
  return { start: Math.min(start, before?.start ?? start), end: Math.max(end, after?.end ?? end) };
}

/** A part of a document's text in pieces: text, near (a neighbour), hit. The API counts code points, JavaScript counts
 * UTF-16 units. */
export function piecesOf(found, { near, hit }) {
  const points = Array.from(found.text);
  const bounds = [near.start, hit.start, hit.end, near.end].map((each) => each - found.start);
  const places = [0, ...bounds, points.length].map((each) => Math.max(0, Math.min(points.length, each)));
  return ["text", "near", "hit", "near", "text"].map((kind, place) => ({
    kind,
    text: points.slice(places[place], places[place + 1]).join(""),
  }));
}

/** The headings above a passage, and where in its file it stands: two lines, empty if nothing is known. `say` turns a key
 * and its values into words. */
export function placeOf({ section = [], location = {} }, say) {
  const range = (name, first, last) =>
    last === undefined || last === first ? say(`place.${name}`, { first }) : say(`place.${name}s`, { first, last });
  const named = ["page", "slide", "sheet", "cell"].filter((key) => key in location).map((key) => say(`place.${key}`, { first: location[key] }));
  const counted = ["row", "line"].filter((key) => key in location).map((key) => range(key, location[key], location[`${key}_end`]));
  const { symbol, anchor } = location;
  const where = [...named, ...counted, symbol, anchor && (anchor.includes("#") ? anchor : `#${anchor}`)];
  return { section: section.join(" > "), where: where.filter(Boolean).join(say("place.joint")) };
}

/** Published instructions, newest version first where there are several. */
export function choices(library) {
  const newest = new Map();
  for (const each of [...library.instructions, ...library.built_in]) {
    if (each.state !== "published") continue;
    const known = newest.get(each.name);
    if (!known || known.version < each.version) newest.set(each.name, each);
  }
  return [...newest.values()];
}

/** A number of at most three digits after the point. */
export function shown(value) {
  return value === null || value === undefined ? "–" : value.toFixed(3);
}
