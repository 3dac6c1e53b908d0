// Thumbs at a result: what a person says about it becomes a judgment.

import { ask, wordsOf } from "./api.js";
import { make } from "./dom.js";
import { say } from "./words.js";

const THUMBS = [[1, "👍", "thumbUp"], [0, "👎", "thumbDown"]]; // grade, sign, word
const given = new Map(); // grade by search and document, so that a new drawing shows it

/** Two buttons and a line for the service's own words, for a result of the search with this id. */
export function thumbs(searchId, documentId, title) {
  const error = make("span", { class: "w-error", role: "alert" });
  const buttons = THUMBS.map(([grade, sign, word]) => {
    const button = make("button", { type: "button", class: "w-quiet w-thumb", "aria-label": say(word, { title }) }, sign);
    button.addEventListener("click", () => give(grade));
    return button;
  });
  const place = make("div", { class: "w-thumbs" }, ...buttons, error);
  place.dataset.key = JSON.stringify([searchId, documentId]);

  async function give(grade) {
    error.textContent = "";
    try {
      await ask("POST", "v1/feedback", { search_id: searchId, document_id: documentId, grade });
    } catch (refused) {
      error.textContent = wordsOf(refused);
      return;
    }
    given.set(place.dataset.key, grade);
    for (const each of document.querySelectorAll(".w-thumbs")) press(each); // a document may stand in several columns
  }

  press(place);
  return place;
}

function press(place) {
  const buttons = place.querySelectorAll(".w-thumb");
  THUMBS.forEach(([grade], index) => buttons[index].setAttribute("aria-pressed", String(given.get(place.dataset.key) === grade)));
}
