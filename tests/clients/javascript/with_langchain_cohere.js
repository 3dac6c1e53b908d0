// @langchain/cohere: its document compressor.

import { CohereRerank } from "@langchain/cohere";
import { Document } from "@langchain/core/documents";
import { CohereClient } from "cohere-ai";
import { NO_NULLS, route, tell } from "./told.js";

async function rerank(wish) {
  const client = new CohereClient({ token: wish.key, environment: wish.url, maxRetries: 0 });
  const compressor = new CohereRerank({ client, model: wish.model, topN: 3 });
  const documents = wish.documents.map(({ id, text }) => new Document({ pageContent: text, metadata: { id } }));
  return (await compressor.compressDocuments(documents, wish.query)).map(({ metadata }) => metadata.id);
}

await tell(
  "@langchain/cohere",
  route("POST /v1/rerank", "rerank", rerank, {
    byModel: true,
    skipped: { "null fields": NO_NULLS },
    notes: { success: "give it a `client` whose `environment` is the service's URL" },
  }),
);
