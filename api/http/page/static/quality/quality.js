// The tab "Quality": files of `winnow eval`, read in the browser.

import { clearErrors, find, make, showError } from "../dom.js";
import { addWords, say } from "../words.js";
import { BYTES_MAX, farthestOf, namesOf, readEvaluation } from "./logic.js";
import { reportParts } from "./report.js";
import { WORDS } from "./words.js";

addWords(WORDS);

const COMMANDS = "winnow eval FOLDER --recall \"dense hybrid\" --per-query queries.jsonl --json > eval.json";

export class QualityTab {
  constructor() {
    this.close();
    find("quality-files").addEventListener("change", (event) => this.open([...event.target.files]));
    find("quality-clear").addEventListener("click", () => {
      this.close();
      find("quality-files").value = "";
      find("quality-files").focus();
      this.refresh();
    });
    find("quality-measure").addEventListener("change", (event) => {
      this.measure = event.target.value;
      this.refresh();
    });
    this.refresh();
  }

  learn() {}

  close() {
    Object.assign(this, { evaluation: null, names: [], measure: null, compared: null });
  }

  async open(files) {
    clearErrors("quality");
    if (!files.length) return;
    const read = {};
    for (const file of files) {
      try {
        if (file.size > BYTES_MAX) throw new Error("quality.tooLarge");
        Object.assign(read, readEvaluation(await file.text()));
      } catch (error) {
        if (!error.message.startsWith("quality.")) throw error;
        showError("quality", "files", say(error.message, { detail: file.name }));
        return;
      }
    }
    this.close();
    if (read.report && read.queries && !namesOf({ report: read.report }).runs.some((name) => name in read.queries[0].runs)) {
      showError("quality", "files", say("quality.otherRuns"));
      delete read.report;
    }
    this.evaluation = read;
    this.names = files.map(({ name }) => name);
    this.refresh();
  }

  refresh() {
    const isOpen = this.evaluation !== null;
    find("quality-choice").hidden = find("quality-opened").hidden = !isOpen;
    if (!isOpen) {
      find("quality-result").replaceChildren(make("div", { class: "w-empty" }, make("p", {}, say("quality.empty")), make("code", {}, COMMANDS)));
      return;
    }
    const { runs, measures } = namesOf(this.evaluation);
    if (!measures.includes(this.measure)) this.measure = measures[0] ?? null;
    this.compared ??= [farthestOf(this.evaluation, this.measure), runs[0]];
    find("quality-names").textContent = say("quality.opened", { names: this.names.join(", ") });
    find("quality-measure").replaceChildren(...measures.map((name) => make("option", { value: name }, name)));
    find("quality-measure").value = this.measure;
    const choose = (compared) => {
      this.compared = compared;
      this.refresh();
      find(`quality-${compared.at(-1)}`)?.focus();
    };
    find("quality-result").replaceChildren(...reportParts(this.evaluation, this.measure, this.compared, choose));
  }
}
