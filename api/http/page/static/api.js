// The one place that asks the service. The key lives in the input field, and nowhere else.

import { find, showError } from "./dom.js";
import { fieldAtFault, InputError } from "./logic.js";
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

export async function ask(method, path, body) {
  const headers = {};
  if (hasKey()) headers.authorization = `Bearer ${key()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const options = { method, headers, credentials: "omit", cache: "no-store" };
  if (body !== undefined) options.body = JSON.stringify(body);
  const response = await fetch(address(path), options);
  const answer = await response.json().catch(() => ({ detail: say("notReadable", { status: response.status }) }));
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

/** Tell what went wrong beside the field at fault. What is not of the service, the input or the network is thrown. */
export function tell(form, error, fields) {
  if (error instanceof Refused) {
    showError(form, fieldAtFault(error.status, error.problem, fields), error.message);
  } else if (error instanceof InputError) {
    showError(form, error.field, say(error.message, { detail: error.detail }));
  } else if (error instanceof TypeError) {
    showError(form, null, say("gone", { detail: error.message }));
  } else {
    throw error;
  }
}
