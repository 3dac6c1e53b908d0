// The one place that asks the service. The key lives in the input field, and nowhere else.

import { find, showError } from "./dom.js";
import { fieldAtFault, InputError, readJson } from "./logic.js";
import { say } from "./words.js";

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail);
    Object.assign(this, { status, problem });
  }
}

const key = () => find("key")?.value.trim() ?? "";

export const hasKey = () => key() !== "";

/** The address of a path of the API: the page's own, with everything before /ui. */
export function address(path) {
  return new URL(path, window.location.href).href;
}

/** The service did not answer. */
class Unreachable extends Error {}

export async function ask(method, path, body) {
  const headers = {};
  if (/[^\x20-\x7e]/.test(key())) throw new InputError("key", "keyCharacters"); // no header can hold them
  if (hasKey()) headers.authorization = `Bearer ${key()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const options = { method, headers, credentials: "omit", cache: "no-store" };
  if (body !== undefined) options.body = JSON.stringify(body);
  const { status, ok, text } = await answerOf(path, options);
  const answer = text === "" ? null : read(text); // no body: 204
  if (ok && answer !== undefined) return answer;
  const detail = typeof answer?.detail === "string" ? answer.detail : say("notReadable", { status });
  throw new Refused(status, { ...answer, detail });
}

async function answerOf(path, options) {
  try {
    const response = await fetch(address(path), options);
    return { status: response.status, ok: response.ok, text: await response.text() };
  } catch (error) {
    throw new Unreachable(error.message);
  }
}

function read(text) {
  try {
    return readJson(text);
  } catch {
    return undefined;
  }
}

/** The words for an error of the service, the input or the network. What is none of these is thrown. */
export function wordsOf(error) {
  if (error instanceof Refused) return error.message;
  if (error instanceof InputError) return say(error.message, { detail: error.detail });
  if (error instanceof Unreachable) return say("gone", { detail: error.message });
  throw error;
}

/** Tell what went wrong beside the field at fault. */
export function tell(form, error, fields) {
  const field = error instanceof Refused ? fieldAtFault(error.status, error.problem, fields) : (error.field ?? null);
  showError(form, field, wordsOf(error));
}
