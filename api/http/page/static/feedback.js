// Thumbs at a result: what a person says about it becomes a judgment.

import { ask, wordsOf } from "./api.js";
import { draw } from "./charts.js";
import { make } from "./dom.js";
import { say } from "./words.js";

const THUMBS = [[1, "thumbUp"], [0, "thumbDown"]]; // grade, word
const THUMB = "M3 11h4v9H3z M7 11l4-8c1.7 0 3 1.3 3 3v4h5.5a1.5 1.5 0 0 1 1.5 1.8l-1.5 6.7A2 2 0 0 1 17.5 20H7"; // many systems lack the emoji
const given = new Map(); // grade by search and document, so that a new drawing shows it

/** Two buttons and a line for the service's own words, for a result of the search with this id. */
export function thumbs(searchId, documentId, title) {
  const error = make("span", { class: "w-error", role: "alert" });
  const buttons = THUMBS.map(([grade, word]) => {
    const sign = draw("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, draw("path", { d: THUMB }));
    const button = make("button", { type: "button", class: "w-quiet w-thumb", "data-grade": grade, "aria-label": say(word, { title }) }, sign);
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
