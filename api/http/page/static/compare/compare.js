// The tab "Compare": the same candidates under several settings, one column for each.

import { address, ask, hasKey, tell } from "../api.js";
import { clearErrors, find, Working } from "../dom.js";
import { curlLine, InputError, parseDocuments, textOf } from "../logic.js";
import { addWords, say } from "../words.js";
import { CANDIDATES_MAX, columnBody, columnOf, documentsOf, recallBody, SETTINGS_MAX, SETTINGS_MIN } from "./logic.js";
import { LETTERS, resultParts, ROWS_AT_FIRST } from "./result.js";
import { Setting } from "./setting.js";
import { WORDS } from "./words.js";

addWords(WORDS);

const FIELDS = ["query", "collection", "candidates", "documents"];
const INPUTS = ["source", "query", "collection", "candidates", "documents"];

export class CompareTab {
  constructor() {
    this.made = 0; // settings, removed ones included
    this.settings = [];
    this.rerankers = [];
    this.collections = [];
    this.library = { instructions: [], built_in: [] };
    this.last = null; // {candidates, columns, labels}
    this.rows = ROWS_AT_FIRST;
    this.working = new Working("compare-form", "compare.compare", "compare.comparing");
    for (let count = 0; count < SETTINGS_MIN; count += 1) this.add();
    for (const name of INPUTS) find(`compare-${name}`).addEventListener("input", () => this.showRequest());
    find("compare-add").addEventListener("click", () => {
      this.add();
      this.refreshSettings();
    });
    find("compare-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.working.isWorking) this.submit();
    });
    this.refresh();
  }

  add() {
    this.made += 1;
    const setting = new Setting(this.made, () => this.showRequest());
    setting.instruction.setLibrary(this.library);
    this.settings.push(setting);
  }

  remove(setting) {
    this.settings = this.settings.filter((each) => each !== setting);
    this.refreshSettings();
    find("compare-add").focus();
  }

  /** What the key may see. */
  async learn({ library, collections }) {
    this.library = library ?? { instructions: [], built_in: [] };
    this.collections = collections ?? [];
    for (const setting of this.settings) setting.instruction.setLibrary(this.library);
    const input = find("compare-collection");
    if (!input.value && this.collections.length) input.value = this.collections[0].name;
    const ready = await ask("GET", "readyz").catch((error) => error.problem ?? {}); // 503 has the same body
    this.rerankers = ready.models?.rerankers ?? [];
    this.refreshSettings();
  }

  refresh() {
    this.refreshSettings();
    this.showResult();
  }

  refreshSettings() {
    const rendered = this.settings.map((setting, place) => {
      const onRemove = this.settings.length > SETTINGS_MIN ? () => this.remove(setting) : null;
      return setting.render(LETTERS[place], this.rerankers, onRemove);
    });
    find("compare-settings").replaceChildren(...rendered);
    find("compare-add").disabled = this.settings.length >= SETTINGS_MAX;
    this.showRequest();
  }

  get isOfCollection() {
    return find("compare-source").value === "collection";
  }

  get known() {
    return this.isOfCollection ? this.collections.find(({ name }) => name === find("compare-collection").value) : undefined;
  }

  get input() {
    const [query, collection, candidates] = ["query", "collection", "candidates"].map((name) => find(`compare-${name}`).value);
    return { query, collection, candidates };
  }

  bodyOf(setting, documents, instruction) {
    return columnBody({ query: this.input.query, documents, instruction, reranker: setting.reranker, collection: this.known });
  }

  showRequest() {
    const ofCollection = this.isOfCollection;
    for (const part of find("compare").querySelectorAll("[data-source]")) {
      part.hidden = (part.dataset.source === "collection") !== ofCollection;
    }
    let documents;
    try {
      documents = ofCollection ? [say("compare.afterRecall")] : parseDocuments(find("compare-documents").value);
    } catch (error) {
      find("compare-curl").textContent = say(error.message, { detail: error.detail });
      return;
    }
    find("compare-documents-help").textContent = say("documentsHelp", { count: ofCollection ? 0 : documents.length });
    const line = (path, body) => curlLine({ url: address(path), body, hasKey: hasKey() });
    const first = ofCollection ? [line("v1/search", recallBody(this.input))] : [];
    const columns = this.settings.map((each) => line("v1/rerank", this.bodyOf(each, documents, each.instruction.known)));
    find("compare-curl").textContent = [...first, ...columns].join("\n\n");
  }

  /** The texts to rank, and what stands for them in the columns. */
  async candidates() {
    if (!this.isOfCollection) {
      const documents = parseDocuments(find("compare-documents").value);
      if (!documents.length) throw new InputError("documents", "compare.tooFew");
      return { documents, shown: documents.map((each) => ({ title: "", text: textOf(each) })) };
    }
    const { id: searchId, results } = await ask("POST", "v1/search", recallBody(this.input));
    if (!results.length) throw new InputError("query", "compare.noCandidates");
    const documents = documentsOf(results, this.known?.rerank_fields ?? []);
    return { documents, shown: results.map(({ title, document_id: id, text }) => ({ title: title || id, text, judged: [searchId, id] })) };
  }

  /** One column. An error stands at its setting, unless it is about what all columns share. */
  async column(setting, documents) {
    try {
      const body = this.bodyOf(setting, documents, await setting.instruction.resolve());
      return { ...columnOf(await ask("POST", "v1/rerank", body)), wanted: body.model ?? null };
    } catch (error) {
      tell(setting.form, error, ["instruction"]);
      return null;
    }
  }

  submit() {
    clearErrors("compare");
    return this.working.run(async () => {
      try {
        const { documents, shown } = await this.candidates();
        const columns = await Promise.all(this.settings.map((each) => this.column(each, documents)));
        this.showRequest();
        if (columns.some((each) => each === null)) return;
        this.last = { candidates: shown, columns, settings: [...this.settings] };
        this.rows = ROWS_AT_FIRST;
        this.showResult();
      } catch (error) {
        tell("compare", error, FIELDS);
      }
    });
  }

  showResult() {
    const more = () => {
      this.rows = CANDIDATES_MAX * 10;
      this.showResult();
      find("compare-result").focus({ preventScroll: true });
    };
    find("compare-result").replaceChildren(...resultParts(this.last, this.rows, more));
  }
}
