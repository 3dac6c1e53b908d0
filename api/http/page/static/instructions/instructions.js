// The tab "Instructions": the library, an editor of drafts, the prompt, a shadow.

import { address, ask, hasKey, Refused, tell } from "../api.js";
import { clearErrors, find, make, replaceParts } from "../dom.js";
import { curlLine, InputError, parseJson } from "../logic.js";
import { addWords, currentLanguage, say } from "../words.js";
import { byName, contentBody, editorField, editorValues, FIELDS, matching, ownName } from "./logic.js";
import { Preview } from "./preview.js";
import { Shadow } from "./shadow.js";
import { WORDS } from "./words.js";

addWords(WORDS);

const EXAMPLE = '{"name": "language", "default": "English"}';

export class InstructionsTab {
  constructor() {
    this.library = { instructions: [], built_in: [] };
    this.chosen = null; // a version, or null for a new instruction
    this.preview = new Preview(() => this.content, () => this.showRequest());
    this.shadow = new Shadow(() => this.showRequest());
    find("instructions-search").addEventListener("input", () => this.showNames());
    find("instructions-create").addEventListener("click", () => {
      this.choose(null);
      find("instructions-name").focus();
    });
    for (const name of ["name", ...FIELDS]) {
      find(`instructions-${name}`).addEventListener("input", () => this.preview.changed());
    }
    find("instructions-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.write({ publish: false });
    });
    find("instructions-publish").addEventListener("click", () => this.write({ publish: true }));
    this.choose(null);
  }

  learn({ library }) {
    const isFirst = this.library.built_in.length === 0;
    this.library = library ?? { instructions: [], built_in: [] };
    const { chosen } = this;
    if (chosen) this.chosen = this.names.find(({ name }) => name === chosen.name)?.versions.find(({ version }) => version === chosen.version) ?? null;
    else if (isFirst && !find("instructions-text").value && this.names.length) return this.choose(this.names[0].versions[0]);
    return this.refresh();
  }

  get names() {
    return byName(this.library, currentLanguage());
  }

  /** The chosen name with its versions, where it can be written. */
  get own() {
    const found = this.chosen && this.names.find(({ name }) => name === this.chosen.name);
    return found && !found.isBuiltIn ? found : null;
  }

  get values() {
    const entries = FIELDS.map((name) => {
      const input = find(`instructions-${name}`);
      return [name, input.type === "checkbox" ? input.checked : input.value];
    });
    return Object.fromEntries(entries);
  }

  get content() {
    const text = this.values.variables.trim();
    const variables = text ? parseJson(text, "variables", "notJson") : [];
    const isList = Array.isArray(variables) && variables.every((each) => each !== null && typeof each === "object" && !Array.isArray(each));
    if (!isList) throw new InputError("variables", "instructions.notList");
    return contentBody(this.values, variables, this.chosen);
  }

  choose(version) {
    this.chosen = version;
    find("instructions-name").value = version ? ownName(version.name) : "";
    for (const [name, value] of Object.entries(editorValues(version))) {
      const input = find(`instructions-${name}`);
      if (input.type === "checkbox") input.checked = value;
      else input.value = value;
    }
    clearErrors("instructions");
    find("instructions-done").textContent = "";
    this.preview.typed = {};
    this.refresh();
    this.preview.ask();
  }

  refresh() {
    find("instructions-text-help").textContent = say("instructions.textHelp", { open: "{", close: "}" });
    find("instructions-variables-help").textContent = say("instructions.variablesHelp", { example: EXAMPLE });
    const { chosen } = this;
    const state = chosen && say(`instructions.state.${chosen.state}`);
    find("instructions-about").textContent = chosen ? say("instructions.about", { ...chosen, state }) : say("instructions.aboutNew");
    find("instructions-built-in").textContent = chosen?.name.startsWith("builtin/") ? say("instructions.builtIn") : "";
    this.showNames();
    this.showVersions();
    this.preview.refresh();
    this.shadow.choose(this.own);
    this.showRequest();
  }

  showNames() {
    const names = matching(this.names, find("instructions-search").value);
    const items = names.map(({ name, versions }) => {
      const newest = versions[0];
      const button = make("button", { type: "button", class: "w-name", id: `instructions-choose-${name}`, "aria-pressed": String(this.chosen?.name === name) },
        make("span", {}, name), make("small", {}, `@${newest.version} · ${say(`instructions.state.${newest.state}`)}`),
        newest.purpose ? make("small", { class: "w-purpose" }, newest.purpose) : null);
      button.addEventListener("click", () => this.choose(newest));
      return make("li", {}, button);
    });
    replaceParts(find("instructions-names"), ...(items.length ? items : [make("li", { class: "w-help" }, say("instructions.none"))]));
  }

  showVersions() {
    const versions = this.chosen ? this.names.find(({ name }) => name === this.chosen.name)?.versions ?? [] : [];
    const buttons = versions.map((each) => {
      const pressed = String(each.version === this.chosen.version);
      const button = make("button", { type: "button", class: "w-chip", id: `instructions-choose-version-${each.version}`, "aria-pressed": pressed },
        `@${each.version} · ${say(`instructions.state.${each.state}`)}`);
      button.addEventListener("click", () => this.choose(each));
      return button;
    });
    replaceParts(find("instructions-versions"), ...(buttons.length > 1 ? buttons : []));
  }

  get path() {
    return `v1/instructions/${encodeURIComponent(find("instructions-name").value.trim())}`;
  }

  showRequest() {
    const line = (method, path, body) => curlLine({ method, url: address(path), body, hasKey: hasKey() });
    let lines;
    try {
      const version = this.own?.versions[0].state === "draft" ? this.own.versions[0].version : (this.own?.versions[0].version ?? 0) + 1;
      lines = [
        ["preview", line("POST", "v1/instructions/preview", this.preview.body)],
        ["save", line("PUT", `${this.path}/draft`, this.content)],
        ["publish", line("POST", `${this.path}/versions/${version}/publish`)],
        ...this.shadow.lines(),
      ];
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      find("instructions-curl").textContent = say(error.message, { detail: error.detail });
      return;
    }
    find("instructions-curl").textContent = lines.map(([word, text]) => `# ${say(`instructions.requests.${word}`)}\n${text}`).join("\n\n");
  }

  /** Save what the editor holds as the draft of its name, then publish it if asked to. */
  async write({ publish }) {
    clearErrors("instructions");
    find("instructions-done").textContent = "";
    try {
      let written = await ask("PUT", `${this.path}/draft`, this.content);
      if (publish) written = await ask("POST", `${this.path}/versions/${written.version}/publish`);
      this.chosen = written;
      this.learn({ library: await ask("GET", "v1/instructions") });
      find("instructions-done").textContent = say(publish ? "instructions.published" : "instructions.saved", written);
      document.dispatchEvent(new Event("winnow-library"));
    } catch (error) {
      this.tell(error);
    }
  }

  tell(error) {
    const isOfField = error instanceof Refused && error.status !== 401 && error.status !== 403;
    const field = isOfField ? editorField(error.problem) : null;
    if (field) {
      find(`instructions-${field}`).closest("details")?.setAttribute("open", "");
      error.problem.error.param = field;
    }
    tell("instructions", error, ["name", ...FIELDS]);
    if (find("key-error").textContent) find("instructions-error").textContent = find("key-error").textContent;
  }
}
