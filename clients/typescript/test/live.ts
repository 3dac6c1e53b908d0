/** Uses the client against a running service: `node dist/test/live.js URL KEY`. Exits with 0 if all holds. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect, unwrap, WinnowError, type Schemas } from "../src/index.js";

const [url, key] = process.argv.slice(2);
assert(url !== undefined && key !== undefined, "usage: node dist/test/live.js URL KEY");
const winnow = connect(url, { key });
const name = "typescript";
const documents = [
  { id: "heron", title: "Heron", text: "The heron strikes at fish with its bill.", metadata: { lang: "en", year: 2020 } },
  { id: "rent", text: "The rent is due in April." },
];

const made = await unwrap(winnow.POST("/v1/collections", { body: { name } }));
assert.equal(made.name, name);
const written = await unwrap(
  winnow.POST("/v1/collections/{name}/documents", { params: { path: { name } }, body: { documents } }),
);
assert.equal(written.accepted, 2);

const asked: Schemas["SearchBody"] = {
  query: "How does a heron catch fish?",
  collection: name,
  top_k: 1,
  filter: { type: "and", filters: [{ type: "eq", key: "lang", value: "en" }, { type: "gte", key: "year", value: 2020 }] },
};
const found: Schemas["SearchResponse"] = await unwrap(winnow.POST("/v1/search", { body: asked }));
const [best] = found.results;
assert(best !== undefined);
assert.equal(best.document_id, "heron");
assert.equal(typeof best.relevance, "number");
assert.deepEqual(best.metadata, { lang: "en", year: 2020 });
// @ts-expect-error an answer has no such field: the types are closed
assert.equal(found.hits, undefined);

const ranked = await unwrap(
  winnow.POST("/v1/rerank", { body: { query: "fish", documents: documents.map((each) => each.text), top_n: 1 } }),
);
assert.equal(ranked.results.length, 1);
const listed = await unwrap(winnow.GET("/v1/collections/{name}/documents", { params: { path: { name }, query: { limit: 1 } } }));
assert.equal(listed.documents.length, 1);
assert.deepEqual(await unwrap(winnow.DELETE("/v1/collections/{name}", { params: { path: { name } } })), { deleted: name });

const missing = await refusal(unwrap(winnow.POST("/v1/search", { body: asked })));
assert.deepEqual([missing.status, missing.code], [404, "collection_not_found"]);
assert.match(missing.message, /typescript/);
assert(missing.requestId);
const stranger = connect(url, { key: "unknown" });
const unknown = await refusal(unwrap(stranger.GET("/v1/collections")));
assert.equal(unknown.status, 401);
// @ts-expect-error a query is a text
const invalid = await refusal(unwrap(winnow.POST("/v1/search", { body: { collection: name, query: 3 } })));
assert.equal(invalid.status, 422);

const silent = createServer(() => {}).listen(0, "127.0.0.1");
await once(silent, "listening");
const { port } = silent.address() as AddressInfo;
const waits = connect(`http://127.0.0.1:${port}`, { key, timeoutMs: 50 });
await assert.rejects(unwrap(waits.GET("/healthz")), { name: "TimeoutError" });
silent.closeAllConnections();
silent.close();

async function refusal(answer: Promise<unknown>): Promise<WinnowError> {
  return answer.then(
    () => assert.fail("the service did not refuse"),
    (error: unknown) => {
      assert(error instanceof WinnowError, String(error));
      return error;
    },
  );
}
