// Small helpers around the document. Texts become text nodes, so that HTML in a document is shown, never run.

import { say } from "./words.js";

export const find = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key === "onclick") element.addEventListener("click", value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Fill in the words of the current language. */
export function fillWords(root) {
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  for (const element of root.querySelectorAll("[data-word-placeholder]")) {
    element.placeholder = say(element.dataset.wordPlaceholder);
  }
  for (const element of root.querySelectorAll("[data-word-label]")) {
    element.setAttribute("aria-label", say(element.dataset.wordLabel));
  }
}

const NAMES = { top_k: "results" }; // fields of the API that the page names otherwise

/** Show a message below a field, or the one of the whole form where `field` is null. */
export function showError(form, field, message) {
  const own = field === "key" ? "key" : field === null ? null : `${form}-${NAMES[field] ?? field}`;
  const place = (own && find(`${own}-error`)) || find(`${form}-error`);
  place.textContent = message;
  const input = own && find(own);
  if (input) {
    input.setAttribute("aria-invalid", "true");
    input.closest("details")?.setAttribute("open", ""); // an error in a closed panel would not be seen
    input.focus();
  }
}

export function clearErrors(form) {
  const panel = find(form);
  for (const element of [...panel.querySelectorAll(".w-error"), find("key-error")]) element.textContent = "";
  for (const element of [...panel.querySelectorAll("[aria-invalid]"), find("key")]) {
    element.removeAttribute("aria-invalid");
  }
}

/** Show a result that lies below the window, as on a phone. */
export function reveal(place) {
  if (place.getBoundingClientRect().top > window.innerHeight * 0.8) place.scrollIntoView({ block: "start" });
}

/** Replace the parts of a place. The focus stays at the part with the same id. */
export function replaceParts(place, ...parts) {
  const { id } = place.contains(document.activeElement) ? document.activeElement : {};
  place.replaceChildren(...parts);
  if (id) find(id)?.focus();
}

/** A form's button while its request runs. It keeps the focus, which a disabled button would lose. */
export class Working {
  constructor(form, word, workingWord) {
    Object.assign(this, { button: find(form).querySelector(".w-main"), word, workingWord, latest: 0 });
  }

  get isWorking() {
    return this.button.getAttribute("aria-disabled") === "true";
  }

  /** `action` is given a function that tells whether no later action has started. */
  async run(action) {
    const turn = (this.latest += 1);
    const isLatest = () => turn === this.latest;
    this.button.setAttribute("aria-disabled", "true");
    this.button.textContent = say(this.workingWord);
    try {
      await action(isLatest);
    } finally {
      if (isLatest()) {
        this.button.removeAttribute("aria-disabled");
        this.button.textContent = say(this.word);
      }
    }
  }
}

export function wait(milliseconds, action) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), milliseconds);
  };
}

export function moveBadge(moved) {
  const [kind, text] =
    moved > 0
      ? ["up", `▲ ${say("up", { count: moved })}`]
      : moved < 0
        ? ["down", `▼ ${say("down", { count: -moved })}`]
        : ["same", `= ${say("same")}`];
  return make("span", { class: `w-move w-${kind}` }, text);
}
