// The prompt of the edited instruction, coloured by part.

import { ask, wordsOf } from "../api.js";
import { find, make, wait } from "../dom.js";
import { variableValues } from "../logic.js";
import { say } from "../words.js";
import { previewBody, runsOf, tokensOf } from "./logic.js";

const PREVIEW_AFTER = 350; // milliseconds without another change

export class Preview {
  /** `content()` returns what the editor holds; it may throw an InputError. */
  constructor(content, onChange) {
    Object.assign(this, { content, onChange, typed: {}, last: null, asTokens: false, asked: 0 });
    this.soon = wait(PREVIEW_AFTER, () => this.ask());
    for (const id of ["instructions-query", "instructions-document"]) find(id).addEventListener("input", () => this.changed());
    for (const [id, asTokens] of [["instructions-as-text", false], ["instructions-as-tokens", true]]) {
      find(id).addEventListener("click", () => {
        this.asTokens = asTokens;
        this.show();
      });
    }
  }

  changed() {
    this.showValues();
    this.onChange();
    this.soon();
  }

  get variables() {
    try {
      return this.content().variables ?? [];
    } catch {
      return []; // the request tells what is wrong
    }
  }

  get body() {
    const values = variableValues(this.variables.map((each) => ({ type: "string", ...each })), this.typed);
    const query = find("instructions-query").value || say("instructions.sampleQuery");
    const document = find("instructions-document").value || say("instructions.sampleDocument");
    return previewBody({ content: this.content(), values, query, document });
  }

  /** A field for each variable; those that stay keep what was typed. */
  showValues() {
    const names = this.variables.map(({ name }) => name).filter((name) => typeof name === "string");
    if (names.join("\n") === this.names) return;
    this.names = names.join("\n");
    const fields = this.variables.filter(({ name }) => typeof name === "string").map(({ name, default: standard }) => {
      const id = `instructions-value-${name}`;
      const input = make("input", { id, autocomplete: "off", placeholder: standard ?? "" });
      input.value = this.typed[name] ?? "";
      input.addEventListener("input", () => {
        this.typed[name] = input.value;
        this.onChange();
        this.soon();
      });
      return make("div", { class: "w-field" }, make("label", { for: id }, say("instructions.valueOf", { name })), input);
    });
    find("instructions-values").replaceChildren(...fields);
  }

  /** Errors stand here and take no focus: the text is being written. */
  async ask() {
    const number = (this.asked += 1);
    const error = find("instructions-preview-error");
    try {
      const content = this.content();
      if (!content.text.trim()) {
        this.last = null;
        error.textContent = "";
      } else {
        const answer = await ask("POST", "v1/instructions/preview", this.body);
        if (number !== this.asked) return; // a later change was asked about
        this.last = answer;
        error.textContent = "";
      }
    } catch (problem) {
      if (number !== this.asked) return;
      this.last = null;
      error.textContent = wordsOf(problem);
    }
    this.show();
  }

  refresh() {
    this.names = null;
    find("instructions-query").placeholder = say("instructions.sampleQuery");
    find("instructions-document").placeholder = say("instructions.sampleDocument");
    this.showValues();
    this.show();
  }

  show() {
    find("instructions-as-text").setAttribute("aria-pressed", String(!this.asTokens));
    find("instructions-as-tokens").setAttribute("aria-pressed", String(this.asTokens));
    const place = find("instructions-prompt");
    if (this.last === null) {
      find("instructions-tokens").textContent = "";
      const failed = find("instructions-preview-error").textContent !== "";
      place.replaceChildren(...(failed ? [] : [make("p", { class: "w-empty" }, say("instructions.previewEmpty"))]));
      return;
    }
    const { pieces, tokens, reranker, truncated } = this.last;
    find("instructions-tokens").textContent = say("instructions.tokens", { ...tokens, reranker });
    const prompt = this.asTokens ? pieces.flatMap(token) : runsOf(pieces).map(run);
    place.replaceChildren(
      ...(truncated ? [make("p", { class: "w-notice" }, say("instructions.cut"))] : []),
      legend(pieces, tokens),
      make("div", { class: "w-prompt", tabindex: 0, role: "group", "aria-label": say("instructions.preview") }, ...prompt),
    );
  }
}

/** The share of each part in the prompt, with its name: colour is never the only sign. */
function legend(pieces, { total }) {
  const counted = tokensOf(pieces);
  const bar = make("div", { class: "w-stack", "aria-hidden": "true" }, ...counted.map(({ part, tokens }) => {
    const piece = make("i", { class: `w-part w-p-${part}` });
    piece.style.width = `${(100 * tokens) / total}%`;
    return piece;
  }));
  const entries = counted.map(({ part, tokens }) =>
    make("li", {}, make("i", { class: `w-part w-p-${part}`, "aria-hidden": "true" }), make("b", {}, say(`instructions.part.${part}`)),
      ` ${say("instructions.partTokens", { count: tokens })}`));
  return make("div", {}, bar, make("ul", { class: "w-key-list" }, ...entries));
}

function run({ part, text }) {
  return make("span", { class: `w-part w-p-${part}`, title: say(`instructions.part.${part}`) }, text);
}

function token({ part, text, tokens }) {
  const title = `${say(`instructions.part.${part}`)} · ${say("instructions.partTokens", { count: tokens })}`;
  const end = text.includes("\n") ? "\n" : "";
  return [make("span", { class: `w-part w-token w-p-${part}`, title }, text.replaceAll("\n", "⏎")), end];
}
