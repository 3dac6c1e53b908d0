// What the programs of this folder share: the cases, made of calls, and the observations, printed one a line.
// It mirrors tests/clients/programs/told.py, where tests/clients/observations.py says what is given and what printed.

import { readFileSync } from "node:fs";

const CASES = ["success", "401", "404", "422", "429", "503", "degraded", "null fields", "instruction"];
const REFUSED_WITHIN = 6; // calls; the tenant has four a minute
const RERANK_REFUSES = "this route answers 503 where nothing was reranked";
const NO_RERANKER = "no reranker takes part";
export const NO_NULLS = "the client sends no optional field as null";
const NEVER = {
  rerank: { degraded: RERANK_REFUSES },
  embeddings: { degraded: NO_RERANKER, instruction: NO_RERANKER },
  search: {},
};

/**
 * A call that is tried in every case. `ask(wish)` returns ids in the client's order, and throws what the client throws.
 * With `byModel`, the name of the model chooses the instruction.
 */
export function route(name, kind, ask, { byModel = false, skipped = {}, notes = {} } = {}) {
  const chosen = byModel ? { instruction: "by the model's name" } : {};
  return { name, kind, ask, byModel, skipped: { ...NEVER[kind], ...skipped }, notes: { ...chosen, ...notes } };
}

/** Try every case of every route of a package, and print what was observed. */
export async function tell(packageName, ...routes) {
  const target = JSON.parse(readFileSync(process.argv[2], "utf8"));
  const { version } = JSON.parse(readFileSync(new URL(`node_modules/${packageName}/package.json`, import.meta.url), "utf8"));
  for (const each of routes)
    for (const name of CASES) console.log(JSON.stringify({ ...(await observe(each, name, target)), version }));
}

async function observe(each, name, target) {
  const observed = { route: each.name, case: name, order: null, error: null, status: null, skipped: null, note: "" };
  observed.note = each.notes[name] ?? "";
  observed.skipped = each.skipped[name] ?? null;
  if (observed.skipped !== null) return observed;
  const began = performance.now();
  try {
    for (let call = 0; call < (name === "429" ? REFUSED_WITHIN : 1); call++)
      observed.order = await each.ask(wishOf(each, name, target));
  } catch (error) {
    Object.assign(observed, { order: null, error: error.constructor.name, status: statusOf(error) });
    console.error(`${each.name} ${name}: ${error}`.slice(0, 600));
  }
  console.error(`${each.name} ${name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  return observed;
}

function wishOf(each, name, target) {
  const isRerank = each.kind === "rerank";
  const usual = {
    url: target.url,
    key: target.key,
    model: each.kind === "embeddings" ? target.embedding_model : target.model,
    collection: target.collection,
    query: target.query,
    documents: Object.entries(target.documents).map(([id, text]) => ({ id, text })),
    instruction: null,
    isInvalid: false,
    withNulls: false,
  };
  const changes = {
    "401": { key: target.wrong_key },
    "404": each.kind === "search" ? { collection: "no-such-collection" } : { url: `${usual.url}/no-such-path` },
    "422": { isInvalid: true, ...(isRerank ? { model: target.unknown_model } : {}) },
    "429": { key: target.limited_key },
    "503": { url: isRerank ? target.rerank_down_url : target.embed_down_url },
    degraded: { url: target.rerank_down_url },
    "null fields": { withNulls: true },
    instruction: each.byModel ? { model: target.instructed_model } : { instruction: target.instruction },
  };
  return { ...usual, ...(changes[name] ?? {}) };
}

/** The HTTP status that an error holds, or the one that caused it. */
function statusOf(error) {
  for (let each = error; each; each = each.cause)
    for (const field of ["statusCode", "status", "code"])
      if (Number.isInteger(each[field]) && each[field] >= 400) return each[field];
  return null;
}
