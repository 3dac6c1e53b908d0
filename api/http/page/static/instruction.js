// The choice of an instruction: a text of one's own, or one of the library with a field for each variable.

import { ask } from "./api.js";
import { find, make, replaceParts, wait } from "./dom.js";
import { choices, variableValues } from "./logic.js";
import { currentLanguage, say } from "./words.js";

const OWN_TEXT = "=text";
const PREVIEW_AFTER = 250; // milliseconds without another change

export class Instruction {
  /** `form` is the tab's name; `onChange` is called after every change. */
  constructor(form, holder, onChange) {
    Object.assign(this, { form, holder, onChange, library: [], chosen: "", text: "", typed: {}, resolved: "" });
    this.previewSoon = wait(PREVIEW_AFTER, () => this.preview());
    this.render();
  }

  get found() {
    return this.library.find(({ name }) => name === this.chosen);
  }

  setLibrary(answer) {
    this.library = choices(answer);
    this.render();
  }

  /** Choose by name, or a text; used by examples. */
  choose({ name = null, text = "", variables = {} }) {
    Object.assign(this, { chosen: name ?? OWN_TEXT, text, typed: { ...variables }, resolved: "" });
    this.render();
    this.previewSoon();
  }

  /** What a search sends: a text, {name, version, variables}, or null. */
  get named() {
    if (this.chosen === OWN_TEXT) return this.text.trim() || null;
    if (!this.found) return null;
    const variables = variableValues(this.found.variables, this.typed);
    const { name, version } = this.found;
    return Object.keys(variables).length ? { name, version, variables } : { name, version };
  }

  /** What a rerank sends: always the text. Asks the service to fill in variables. */
  async resolve() {
    const named = this.named;
    if (named === null || typeof named === "string") return named;
    const { text } = await ask("POST", "v1/instructions/preview", { instruction: named });
    if (JSON.stringify(named) === JSON.stringify(this.named)) { // else another one was chosen meanwhile
      this.resolved = text;
      this.showResolved();
    }
    return text;
  }

  /** The text as far as it is known without asking. */
  get known() {
    const named = this.named;
    return named === null || typeof named === "string" ? named : this.resolved || "…";
  }

  async preview() {
    try {
      await this.resolve();
    } catch {
      this.resolved = ""; // the next submission asks again and tells the error at its field
    }
    this.onChange();
  }

  render() {
    const id = `${this.form}-instruction`;
    const select = make("select", { id, "aria-describedby": `${id}-error` });
    select.append(make("option", { value: "" }, say("noInstruction")), make("option", { value: OWN_TEXT }, say("ownText")));
    const isBuiltIn = ({ name }) => name.startsWith("builtin/");
    this.addGroup(select, say("ownGroup"), this.library.filter((each) => !isBuiltIn(each)));
    this.addGroup(select, say("builtInGroup"), this.library.filter(isBuiltIn).sort(inLanguage));
    select.value = this.chosen === OWN_TEXT || this.found ? this.chosen : "";
    select.addEventListener("change", () => this.choose({ name: select.value, text: this.text }));
    const field = make("div", { class: "w-field" }, make("label", { for: id }, say("instruction")), select);
    const error = make("p", { class: "w-error", id: `${id}-error`, role: "alert" });
    replaceParts(this.holder, make("div", { class: "w-row" }, field, ...this.inputs()), error, this.reads());
    this.showResolved();
  }

  addGroup(select, label, instructions) {
    if (!instructions.length) return;
    const options = instructions.map(({ name, version }) => make("option", { value: name }, `${name} @${version}`));
    select.append(make("optgroup", { label }, ...options));
  }

  inputs() {
    if (this.chosen === OWN_TEXT) {
      const id = `${this.form}-instruction-text`;
      const input = make("textarea", { id, rows: 2 });
      input.value = this.text;
      input.addEventListener("input", () => this.change(() => (this.text = input.value)));
      return [make("div", { class: "w-field w-wide" }, make("label", { for: id }, say("instructionText")), input)];
    }
    return (this.found?.variables ?? []).map((variable) => this.variable(variable));
  }

  variable({ name, type, default: standard, allowed, description }) {
    const id = `${this.form}-variable-${name}`;
    const isChoice = type === "enum";
    const input = make(isChoice ? "select" : "input", {
      id,
      title: description,
      autocomplete: "off",
      inputmode: type === "integer" ? "numeric" : null,
      placeholder: isChoice ? null : standard ?? "",
    });
    if (isChoice) input.append(...allowed.map((value) => make("option", { value }, value)));
    input.value = this.typed[name] ?? (isChoice ? standard ?? allowed[0] : "");
    input.addEventListener("input", () => this.change(() => (this.typed[name] = input.value)));
    return make("div", { class: "w-field" }, make("label", { for: id }, name), input);
  }

  change(apply) {
    apply();
    this.resolved = "";
    this.onChange();
    this.previewSoon();
  }

  reads() {
    return make("p", { class: "w-help", id: `${this.form}-instruction-reads` });
  }

  showResolved() {
    const place = find(`${this.form}-instruction-reads`);
    if (place) place.textContent = this.found && this.resolved ? `${say("instructionReads")} ${this.resolved}` : "";
  }
}

/** Instructions written in the page's language first. */
function inLanguage(one, other) {
  const last = ({ language }) => Number(language !== currentLanguage());
  return last(one) - last(other) || one.name.localeCompare(other.name);
}
