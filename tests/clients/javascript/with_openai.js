// openai: embeddings, and search in a vector store.

import OpenAI from "openai";
import { route, tell } from "./told.js";

const clientOf = (wish) => new OpenAI({ apiKey: wish.key, baseURL: `${wish.url}/v1`, maxRetries: 0 });
const nulls = (...names) => Object.fromEntries(names.map((name) => [name, null]));

async function embed(wish) {
  const options = wish.withNulls ? nulls("dimensions", "user") : wish.isInvalid ? { dimensions: 100_000 } : {};
  const client = clientOf(wish);
  const input = wish.documents.map(({ text }) => text);
  const texts = await client.embeddings.create({ model: wish.model, input, ...options });
  const asked = { model: wish.model, input: wish.query, input_type: "query", ...options };
  const [query] = (await client.embeddings.create(asked)).data;
  const similarities = texts.data.map(({ embedding }) => embedding.reduce((sum, a, i) => sum + a * query.embedding[i], 0));
  const order = [...similarities.keys()].sort((one, other) => similarities[other] - similarities[one]);
  return order.map((index) => wish.documents[index].id);
}

async function search(wish) {
  const options = {
    ...(wish.withNulls ? nulls("filters", "max_num_results", "ranking_options", "rewrite_query") : {}),
    ...(wish.isInvalid ? { max_num_results: 100_000 } : {}),
    ...(wish.instruction === null ? {} : { instruction: wish.instruction }),
  };
  const page = await clientOf(wish).vectorStores.search(wish.collection, { query: wish.query, ...options });
  return page.data.map(({ file_id }) => file_id);
}

const retries = "by default the client tries twice more; shown with `maxRetries: 0`";
const notes = { success: "`baseURL` ends with /v1", 429: retries, 503: retries };
await tell(
  "openai",
  route("POST /v1/embeddings", "embeddings", embed, { notes }),
  route("POST /v1/vector_stores/ID/search", "search", search, {
    notes: {
      ...notes,
      degraded: '`winnow.judged_by` of the page is "recall-order"',
      instruction: "`instruction` in the request",
    },
  }),
);
