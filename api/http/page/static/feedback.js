// Thumbs at a result: what a person says about it becomes a judgment.

import { ask, Refused } from "./api.js";
import { make } from "./dom.js";
import { say } from "./words.js";

const given = new Map(); // grade by search and document, so that a new drawing shows it

/** Two buttons and a line for the service's own words, for a result of the search with this id. */
export function thumbs(searchId, documentId, title) {
  const key = JSON.stringify([searchId, documentId]);
  const error = make("span", { class: "w-error", role: "alert" });
  const buttons = [[1, "👍", "thumbUp"], [0, "👎", "thumbDown"]].map(([grade, sign, word]) => {
    const button = make("button", { type: "button", class: "w-quiet w-thumb", "aria-label": say(word, { title }) }, sign);
    button.addEventListener("click", () => give(grade));
    return [grade, button];
  });
  const show = () => {
    for (const [grade, button] of buttons) button.setAttribute("aria-pressed", String(given.get(key) === grade));
  };

  async function give(grade) {
    error.textContent = "";
    try {
      await ask("POST", "v1/feedback", { search_id: searchId, document_id: documentId, grade });
      given.set(key, grade);
    } catch (refused) {
      if (!(refused instanceof Refused || refused instanceof TypeError)) throw refused;
      error.textContent = refused instanceof Refused ? refused.message : say("gone", { detail: refused.message });
    }
    show();
  }

  show();
  return make("div", { class: "w-thumbs" }, ...buttons.map(([, button]) => button), error);
}
