/** A typed client of winnow: openapi-fetch with the service's types, the API key, a timeout, and one error class. */

import createFetchClient, { type Client } from "openapi-fetch";
import type { components, operations, paths } from "./schema.js";

export type { components, operations, paths };

/** The bodies and answers by name: `Schemas["SearchBody"]`, `Schemas["SearchResponse"]` ... */
export type Schemas = components["schemas"];

export type WinnowClient = Client<paths>;

export interface Options {
  /** Sent as `Authorization: Bearer KEY`. */
  key?: string;
  /** Of each request, until its answer has arrived. 30,000 unless given. */
  timeoutMs?: number;
}

/** What the service refused, or could not answer. */
export class WinnowError extends Error {
  override readonly name = "WinnowError";

  constructor(
    message: string,
    readonly status: number,
    /** For programs: `collection_not_found`, `rate_limited` ... null if something between client and service answered. */
    readonly code: string | null,
    readonly requestId: string | null,
    /** Seconds to wait before another try, where the service says it. */
    readonly retryAfter: number | null,
  ) {
    super(message);
  }
}

/** Connect to a service: `connect("https://search.example.com", { key })`. */
export function connect(url: string, { key, timeoutMs = 30_000 }: Options = {}): WinnowClient {
  return createFetchClient<paths>({
    baseUrl: url,
    headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
    fetch: (request: Request) =>
      fetch(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMs)]) }),
  });
}

/** Return the body of an answer, or throw a `WinnowError`. */
export async function unwrap<T>(asked: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await asked;
  if (response.ok) return data as T;
  const problem = isProblem(error) ? error : null;
  throw new WinnowError(
    problem?.message ?? `HTTP ${response.status}`,
    response.status,
    problem?.error["code"] ?? null,
    response.headers.get("x-request-id"),
    secondsOf(response.headers.get("retry-after")),
  );
}

function isProblem(body: unknown): body is Schemas["ProblemBody"] {
  return typeof body === "object" && body !== null && "message" in body && "error" in body;
}

function secondsOf(header: string | null): number | null {
  const seconds = Number.parseFloat(header ?? "");
  return Number.isFinite(seconds) ? seconds : null;
}
