// cohere-ai: rerank over v2 and v1.

import { CohereClient, CohereClientV2 } from "cohere-ai";
import { route, tell } from "./told.js";

const NO_RETRY = { maxRetries: 0 };
const ask = (Client, nullable) => async (wish) => {
  const client = new Client({ token: wish.key, environment: wish.url });
  const answer = await client.rerank(
    {
      model: wish.model,
      query: wish.query,
      documents: wish.documents.map(({ text }) => text),
      ...(wish.withNulls ? Object.fromEntries(nullable.map((name) => [name, null])) : {}),
      ...(wish.instruction === null ? {} : { instruction: wish.instruction }),
    },
    NO_RETRY,
  );
  return answer.results.map(({ index }) => wish.documents[index].id);
};
const notes = {
  success: "`environment` is the service's URL without a path",
  429: "by default the client waits as `Retry-After` says; shown with `maxRetries: 0`",
  503: "by default the client tries twice more; shown with `maxRetries: 0`",
  instruction: "`instruction` in the request, or the model's name",
};

await tell(
  "cohere-ai",
  route("POST /v2/rerank", "rerank", ask(CohereClientV2, ["topN", "maxTokensPerDoc"]), { notes }),
  route("POST /v1/rerank", "rerank", ask(CohereClient, ["topN", "rankFields", "returnDocuments", "maxChunksPerDoc"]), {
    notes,
  }),
);
