// The tab "Rerank": a query and documents of one's own.

import { address, ask, hasKey, tell } from "./api.js";
import { clearErrors, find, make, moveBadge, reveal, Working } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { inputText, readDocuments } from "./files.js";
import { Instruction } from "./instruction.js";
import { curlLine, parseDocuments, rerankBody, rerankRows, shown } from "./logic.js";
import { currentLanguage, say } from "./words.js";

const FIELDS = ["query", "documents", "instruction"];
const ROWS_AT_FIRST = 50;

export class RerankTab {
  constructor() {
    this.instruction = new Instruction("rerank", document.querySelector('[data-for="rerank"]'), () => this.showRequest());
    this.last = null; // {documents, answer, ms}
    this.all = false;
    this.working = new Working("rerank-form", "rerank", "reranking");
    find("rerank-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.working.isWorking) this.submit();
    });
    for (const id of ["rerank-query", "rerank-documents"]) find(id).addEventListener("input", () => this.showRequest());
    find("rerank-file").addEventListener("change", ({ target }) => this.read(target.files).then(() => (target.value = "")));
    this.takeDropped(find("rerank-documents"));
    this.refresh();
  }

  /** Write everything again that depends on the language. */
  refresh() {
    const buttons = EXAMPLES.map((example) =>
      make("button", { type: "button", class: "w-chip", onclick: () => this.load(example) }, example[currentLanguage()].title),
    );
    find("rerank-examples").replaceChildren(...buttons);
    this.instruction.render();
    this.showRequest();
    this.showResult();
  }

  learn({ library }) {
    if (library) this.instruction.setLibrary(library);
    this.showRequest();
  }

  load(example) {
    const { query, documents, instruction } = example[currentLanguage()];
    find("rerank-query").value = query;
    find("rerank-documents").value = documents.join("\n");
    this.instruction.choose(instruction);
    return this.submit();
  }

  /** Put the documents of a file into the input. */
  async read([file]) {
    if (!file) return;
    clearErrors("rerank");
    try {
      find("rerank-documents").value = inputText(await readDocuments(file));
      this.showRequest();
    } catch (error) {
      tell("rerank", error, FIELDS);
    }
  }

  takeDropped(place) {
    const hasFiles = (event) => event.dataTransfer.types.includes("Files");
    place.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    place.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.read(event.dataTransfer.files);
    });
  }

  get input() {
    return { query: find("rerank-query").value, documents: parseDocuments(find("rerank-documents").value) };
  }

  showRequest() {
    let input;
    try {
      input = this.input;
    } catch (error) {
      find("rerank-curl").textContent = say(error.message, { detail: error.detail });
      return;
    }
    find("rerank-documents-help").textContent = say("documentsHelp", { count: input.documents.length });
    const body = rerankBody({ ...input, instruction: this.instruction.known });
    find("rerank-curl").textContent = curlLine({ url: address("v1/rerank"), body, hasKey: hasKey() });
  }

  submit() {
    clearErrors("rerank");
    return this.working.run(async (isLatest) => {
      try {
        const input = this.input;
        const body = rerankBody({ ...input, instruction: await this.instruction.resolve() });
        const started = performance.now();
        const answer = await ask("POST", "v1/rerank", body);
        if (!isLatest()) return; // another example was chosen meanwhile
        this.last = { documents: input.documents, answer, ms: performance.now() - started };
        this.all = false;
        this.showRequest();
        this.showResult();
        reveal(find("rerank-result"));
      } catch (error) {
        if (isLatest()) tell("rerank", error, FIELDS);
      }
    });
  }

  showResult() {
    const place = find("rerank-result");
    if (this.last === null) {
      place.replaceChildren(make("p", { class: "w-empty" }, say("rerankEmpty")));
      return;
    }
    const { documents, answer, ms } = this.last;
    const rows = rerankRows(documents, answer);
    const model = answer.model;
    const tokens = answer.usage.total_tokens;
    const summary = say("rerankSummary", { count: rows.length, ms: Math.round(ms), tokens, model });
    const head = ["rank", "movement", "score", "document"].map((word) => make("th", { scope: "col" }, say(word)));
    const body = rows.slice(0, this.all ? rows.length : ROWS_AT_FIRST).map(tableRow);
    const table = make("table", { class: "w-table" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
    const ignored = answer.meta.winnow.instruction_applied === false && this.instruction.named !== null;
    place.replaceChildren(
      make("p", { class: "w-summary" }, summary),
      ...(ignored ? [make("p", { class: "w-notice" }, say("notApplied", { model }))] : []),
      table,
    );
    if (body.length < rows.length) {
      const more = make("button", { type: "button", class: "w-quiet" }, say("more", { count: rows.length }));
      more.addEventListener("click", () => {
        this.all = true;
        this.showResult();
        place.focus({ preventScroll: true });
      });
      place.append(more);
    }
  }
}

function tableRow({ rank, given, moved, score, text, isCut }) {
  const cells = [
    make("td", { class: "w-rank" }, String(rank)),
    make("td", { class: "w-moved" }, moveBadge(moved), make("small", {}, say("given", { place: given }))),
    make("td", { class: "w-score" }, scoreBar(score), make("span", {}, shown(score))),
    make("td", { class: "w-text" }, longText(text), isCut ? make("span", { class: "w-cut" }, `✂ ${say("cut")}`) : null),
  ];
  return make("tr", {}, ...cells);
}

export function scoreBar(score) {
  const bar = make("span", { class: "w-bar", "aria-hidden": "true" }, make("i"));
  bar.firstChild.style.width = `${Math.round(Math.max(0, Math.min(1, score ?? 0)) * 100)}%`;
  return bar;
}

const CHARACTERS_AT_FIRST = 320;

/** A long text opens on demand. */
export function longText(text) {
  if (text.length <= CHARACTERS_AT_FIRST) return make("div", { class: "w-passage" }, text);
  const beginning = `${text.slice(0, CHARACTERS_AT_FIRST).trimEnd()} …`;
  return make("details", { class: "w-passage" }, make("summary", {}, beginning), text);
}
