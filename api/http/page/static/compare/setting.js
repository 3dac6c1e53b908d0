// One setting of the tab "Compare": an instruction in any of its versions, or a text, and a reranker.

import { make } from "../dom.js";
import { Instruction } from "../instruction.js";
import { say } from "../words.js";

/** Chooses among all versions, drafts and retired ones included. */
class Version extends Instruction {
  setLibrary({ instructions, built_in: builtIn }) {
    this.library = [...instructions, ...builtIn];
    this.render();
  }

  get found() {
    return this.library.find(({ name, version }) => `${name}@${version}` === this.chosen);
  }

  addGroup(select, label, instructions) {
    if (!instructions.length) return;
    const options = instructions.map(({ name, version, state }) => {
      const note = state === "published" ? "" : ` (${say(`compare.${state}`)})`;
      return make("option", { value: `${name}@${version}` }, `${name} @${version}${note}`);
    });
    select.append(make("optgroup", { label }, ...options));
  }
}

export class Setting {
  /** `onRemove` is null where too few would be left. */
  constructor(number, onChange) {
    this.number = number; // counts up: a new setting never has the id of a removed one
    this.form = `compare-${number}`;
    this.reranker = "";
    this.holder = make("div", { class: "w-instruction" });
    this.instruction = new Version(this.form, this.holder, onChange);
    this.onChange = onChange;
  }

  /** The heading of its column. */
  get label() {
    const { named } = this.instruction;
    const text = named === null ? say("compare.none") : typeof named === "string" ? shortened(named) : `${named.name} @${named.version}`;
    return this.reranker ? `${text} · ${this.reranker}` : text;
  }

  render(letter, rerankers, onRemove) {
    const id = `${this.form}-reranker`;
    const options = ["", ...rerankers].map((name) => make("option", { value: name }, name || say("compare.standard")));
    const select = make("select", { id }, ...options);
    select.value = rerankers.includes(this.reranker) ? this.reranker : "";
    this.reranker = select.value;
    select.addEventListener("change", () => {
      this.reranker = select.value;
      this.onChange();
    });
    const remove = make("button", { type: "button", class: "w-quiet w-remove", "aria-label": say("compare.remove", { letter }) }, "✕");
    remove.addEventListener("click", onRemove ?? (() => {}));
    remove.hidden = onRemove === null;
    this.instruction.render();
    return make(
      "fieldset", { class: "w-setting", id: this.form },
      make("legend", {}, say("compare.setting", { letter })),
      this.holder,
      rerankers.length > 1 ? make("div", { class: "w-field" }, make("label", { for: id }, say("compare.reranker")), select) : null,
      make("p", { class: "w-error", id: `${this.form}-error`, role: "alert" }),
      remove,
    );
  }
}

const LABEL_CHARACTERS = 60;

function shortened(text) {
  return text.length > LABEL_CHARACTERS ? `${text.slice(0, LABEL_CHARACTERS - 1)}…` : text;
}
