// @modelcontextprotocol/sdk: the tools over streamable HTTP.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { route, tell } from "./told.js";

/** A tool's answer that is an error. */
class ToolRefused extends Error {}

function argumentsOf(wish) {
  const named = { query: wish.query, collection: wish.collection };
  if (wish.withNulls) return { ...named, filter: null, instruction: null, top_k: null };
  if (wish.isInvalid) return { ...named, instruction: "no-such-instruction" };
  return wish.instruction === null ? named : { ...named, instruction: wish.instruction };
}

async function connected(wish, use, query = "") {
  const headers = { authorization: `Bearer ${wish.key}` };
  const client = new Client({ name: "campaign", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(`${wish.url}/mcp${query}`), { requestInit: { headers } }));
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

async function call(client, name, args) {
  const answer = await client.callTool({ name, arguments: args });
  const [{ text }] = answer.content;
  if (answer.isError) throw new ToolRefused(text);
  return JSON.parse(text);
}

const idOf = (id) => id.slice(id.indexOf("/") + 1);
const idsOf = ({ results }) => results.map(({ id }) => idOf(id));
const searchFiltered = (wish) =>
  connected(wish, async (client) => idsOf(await call(client, "search_filtered", argumentsOf(wish))));

/** `search`, and `fetch` of each result. The address holds what the tool cannot be told. */
function searchAndFetch(wish) {
  const collection = wish.collection;
  const instruction = wish.isInvalid ? "no-such-instruction" : wish.instruction;
  const address = new URLSearchParams({ collection, ...(instruction === null ? {} : { instruction }) });
  const use = async (client) => {
    const { results } = await call(client, "search", { query: wish.query });
    const documents = [];
    for (const { id } of results) documents.push(await call(client, "fetch", { id }));
    return documents.map(({ id }) => idOf(id));
  };
  return connected(wish, use, `?${address}`);
}

const tool = "the tool answers `isError` with the reason";
const notes = { 404: tool, 422: tool, 503: tool };
await tell(
  "@modelcontextprotocol/sdk",
  route("POST /mcp (search_filtered)", "search", searchFiltered, {
    notes: { ...notes, degraded: "`relevance` is null", instruction: "an argument of the tool" },
  }),
  route("POST /mcp (search, fetch)", "search", searchAndFetch, {
    skipped: { "null fields": "the tools have no optional arguments" },
    notes: { ...notes, instruction: "`?instruction=` of the address" },
  }),
);
