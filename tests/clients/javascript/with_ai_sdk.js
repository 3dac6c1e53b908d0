// @ai-sdk/cohere: `rerank` of the AI SDK.

import { createCohere } from "@ai-sdk/cohere";
import { rerank } from "ai";
import { NO_NULLS, route, tell } from "./told.js";

async function ask(wish) {
  const cohere = createCohere({ baseURL: `${wish.url}/v2`, apiKey: wish.key });
  const { ranking } = await rerank({
    model: cohere.reranking(wish.model),
    query: wish.query,
    documents: wish.documents.map(({ text }) => text),
    maxRetries: 0,
  });
  return ranking.map(({ originalIndex }) => wish.documents[originalIndex].id);
}

const retries = "by default the client tries twice more; shown with `maxRetries: 0`";
await tell(
  "@ai-sdk/cohere",
  route("POST /v2/rerank", "rerank", ask, {
    byModel: true,
    skipped: { "null fields": NO_NULLS },
    notes: { success: "`baseURL` ends with /v2", 429: retries, 503: retries },
  }),
);
