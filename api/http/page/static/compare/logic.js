// What the tab "Compare" computes: requests, columns, measures of each pair. No document, no network.

export const SETTINGS_MIN = 2;
export const SETTINGS_MAX = 4;
export const CANDIDATES_MAX = 200; // results of one search

/** The candidates of a collection, in recall's order. */
export function recallBody({ collection, query, candidates }) {
  const count = Number(candidates);
  return { query, collection, candidates: count, top_k: Math.max(1, Math.min(count, CANDIDATES_MAX)), rerank: false };
}

/** Results of a search as documents of a rerank: the reranker reads the same as in a search of the collection. */
export function documentsOf(results, fields) {
  return results.map(({ document_id: id, title, url, text, metadata }) => {
    const passage = title ? `${title}\n${text}` : text;
    return fields.length ? { ...metadata, id, title, url: url ?? "", text: passage } : passage;
  });
}

/** The request of one column. `collection` is the known one, or undefined; its reranker holds where none was chosen. */
export function columnBody({ query, documents, instruction, reranker, collection }) {
  const model = reranker || collection?.reranker;
  const fields = collection?.rerank_fields ?? [];
  return {
    query,
    documents,
    ...(instruction ? { instruction } : {}),
    ...(model ? { model } : {}),
    ...(fields.length ? { rerank_fields: fields, rerank_field_tokens: collection.rerank_field_tokens } : {}),
    return_documents: false,
  };
}

/** One column: its order of candidates, and each candidate's place and score in the given order. */
export function columnOf(answer) {
  const order = answer.results.map(({ index }) => index);
  const scores = new Array(order.length).fill(null);
  for (const { index, relevance_score: score } of answer.results) scores[index] = score;
  const places = new Map(order.map((index, place) => [index, place]));
  return { order, scores, places, model: answer.model, applied: answer.meta.winnow.instruction_applied };
}

/** Rows of a column; `moved` is positive for places up against the first column. */
export function rowsOf(column, first) {
  return column.order.map((index, place) => ({
    index, rank: place + 1, score: column.scores[index], moved: first.places.get(index) - place,
  }));
}

/** Every pair of columns, by place. */
export function pairsOf(count) {
  return Array.from({ length: count }, (_, one) => one)
    .flatMap((one) => Array.from({ length: count - one - 1 }, (_, more) => [one, one + 1 + more]));
}

/** How many candidates changed their place, and the one that moved the most places. */
export function movesOf(one, other) {
  const moves = one.order.map((index, place) => ({ index, moved: place - other.places.get(index) }));
  const largest = moves.reduce((most, each) => (Math.abs(each.moved) > Math.abs(most.moved) ? each : most), { moved: 0 });
  return { moved: moves.filter(({ moved }) => moved !== 0).length, of: moves.length, largest };
}

/** Lines of the picture: where each of the first `depth` candidates of any column stands in all of them. */
export function linesOf(columns, depth) {
  const shown = new Set(columns.flatMap(({ order }) => order.slice(0, depth)));
  return [...shown].map((index) => ({ index, places: columns.map(({ places }) => places.get(index)) }));
}
