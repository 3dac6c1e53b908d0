// What the page computes: requests, movements, errors. No document, no network: tested without a browser.

export class InputError extends Error {
  // `field` is the wire's name of the input at fault, `word` the key of the message in words.js.
  constructor(field, word, detail = "") {
    super(word);
    Object.assign(this, { field, word, detail });
  }
}

/** Documents of the input: JSON where it starts with `[` or `{`, else one per line. Empty lines are left out. */
export function parseDocuments(text) {
  const trimmed = text.trim();
  if (!/^(\[|\{)/.test(trimmed)) {
    return trimmed.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
  }
  const isLines = trimmed.startsWith("{");
  const read = isLines ? parseLines(trimmed) : parseJson(trimmed, "documents", "notJson");
  read.forEach((each, place) => {
    const isDocument = typeof each === "string" || (each !== null && typeof each?.text === "string");
    if (!isDocument) throw new InputError("documents", "notDocument", String(place + 1));
  });
  return read;
}

function parseLines(text) {
  return text.split(/\r?\n/).filter((line) => line.trim()).map((line, place) => {
    try {
      return JSON.parse(line);
    } catch (error) {
      throw new InputError("documents", "notJsonLine", `${place + 1}: ${error.message}`);
    }
  });
}

export function parseJson(text, field, word) {
  try {
    return JSON.parse(text);
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

export const RESULTS_MAX = 200; // of one search

/** `instruction` is a text, an object {name, version, variables}, or null. */
export function searchBody({ collection, query, filter, recall, candidates, rerank, instruction }) {
  const count = Number(candidates);
  const body = { query, collection, candidates: count, top_k: Math.max(1, Math.min(count, RESULTS_MAX)) };
  if (recall) body.recall = recall;
  if (rerank !== "auto") body.rerank = rerank === "always" ? "always" : false;
  if (instruction) body.instruction = instruction;
  if (filter.trim()) body.filter = parseJson(filter, "filter", "notJson");
  return body;
}

/** The values of an instruction's variables as the API types them. Empty fields keep their default. */
export function variableValues(variables, typed) {
  const entries = variables.filter(({ name }) => (typed[name] ?? "") !== "").map(({ name, type }) => {
    const text = typed[name];
    return [name, type === "integer" && /^-?\d+$/.test(text) ? Number(text) : text];
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

/** Split a text around characters [start, end). The API counts code points, JavaScript counts UTF-16 units. */
export function splitAtHit(text, start, end) {
  const points = Array.from(text);
  return [points.slice(0, start), points.slice(start, end), points.slice(end)].map((part) => part.join(""));
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
