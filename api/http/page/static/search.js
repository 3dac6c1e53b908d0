// The tab "Search": a collection, in recall's order and in the final order.

import { address, ask, hasKey, tell } from "./api.js";
import { clearErrors, find, make, moveBadge } from "./dom.js";
import { thumbs } from "./feedback.js";
import { Instruction } from "./instruction.js";
import { curlLine, searchBody, searchColumns, shown, splitAtHit, stageTimes } from "./logic.js";
import { scoreBar } from "./rerank.js";
import { say } from "./words.js";

const FIELDS = ["query", "collection", "filter", "candidates", "instruction"];
const INPUTS = ["query", "collection", "filter", "recall", "candidates", "rerank"];
const ROWS_AT_FIRST = 10;
const SNIPPET = 180; // characters

export class SearchTab {
  constructor() {
    this.instruction = new Instruction("search", document.querySelector('[data-for="search"]'), () => this.showRequest());
    this.collections = [];
    this.last = null; // the answer
    this.all = false;
    find("search-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    for (const name of INPUTS) find(`search-${name}`).addEventListener("input", () => this.showRequest());
    find("document-close").addEventListener("click", () => find("document").close());
    this.refresh();
  }

  refresh() {
    this.instruction.render();
    this.showRequest();
    this.showResult();
  }

  learn({ library, collections }) {
    if (library) this.instruction.setLibrary(library);
    this.setCollections(collections ?? []);
  }

  setCollections(collections) {
    this.collections = collections;
    find("collections").replaceChildren(...collections.map(({ name }) => make("option", { value: name })));
    const input = find("search-collection");
    if (!input.value && collections.length) input.value = collections[0].name;
    this.showRequest();
  }

  get input() {
    const values = Object.fromEntries(INPUTS.map((name) => [name, find(`search-${name}`).value]));
    return { ...values, instruction: this.instruction.named };
  }

  showRequest() {
    const known = this.collections.find(({ name }) => name === find("search-collection").value);
    const attributes = Object.entries(known?.attributes ?? {}).map(([name, type]) => `${name} (${type})`).join(", ");
    find("search-filter-help").textContent = say("filterHelp", { attributes: attributes || say("noAttributes") });
    let body;
    try {
      body = searchBody(this.input);
    } catch (error) {
      find("search-curl").textContent = say(error.message, { detail: error.detail });
      return;
    }
    find("search-curl").textContent = curlLine({ url: address("v1/search"), body, hasKey: hasKey() });
  }

  async submit() {
    const button = find("search-form").querySelector(".w-main");
    clearErrors("search");
    button.disabled = true;
    button.textContent = say("searching");
    try {
      this.last = await ask("POST", "v1/search", searchBody(this.input));
      this.all = false;
      this.showResult();
    } catch (error) {
      tell("search", error, FIELDS);
    } finally {
      button.disabled = false;
      button.textContent = say("search");
    }
  }

  showResult() {
    const place = find("search-result");
    if (this.last === null) {
      place.replaceChildren(make("p", { class: "w-empty" }, say("searchEmpty")));
      return;
    }
    const answer = this.last;
    const count = answer.results.length;
    const { recalled, ranked } = searchColumns(answer);
    const limit = this.all ? count : ROWS_AT_FIRST;
    const left = recalled.slice(0, limit).map((result, row) => this.card(result, { row: row + 1 }));
    const right = ranked.slice(0, limit).map(({ result, moved }) => this.card(result, { row: result.rank, moved }));
    const title = answer.judged_by === "recall-order" ? "finalOrder" : "reranked";
    place.replaceChildren(
      ...notices(answer),
      make("p", { class: "w-summary" }, summary(answer)),
      times(answer.timings_ms),
      count ? make("div", { class: "w-columns" }, column("recallOrder", left), column(title, right))
        : make("p", { class: "w-empty" }, say("nothing")),
    );
    if (limit < count) {
      const more = make("button", { type: "button", class: "w-quiet" }, say("more", { count }));
      more.addEventListener("click", () => {
        this.all = true;
        this.showResult();
      });
      place.append(more);
    }
  }

  /** A passage: a button that opens its document. */
  card(result, { row, moved }) {
    const isFinal = moved !== undefined;
    const title = result.title || result.document_id;
    const score = isFinal
      ? `${say("relevance")} ${result.relevance === null ? say("notReranked") : shown(result.relevance)}`
      : `${say("similarity")} ${shown(result.similarity)}`;
    const text = result.text.length > SNIPPET ? `${result.text.slice(0, SNIPPET)} …` : result.text;
    const lines = [
      make("span", { class: "w-card-top" }, make("b", {}, String(row)), isFinal ? moveBadge(moved) : null,
        make("span", { class: "w-card-score" }, score)),
      scoreBar(isFinal ? result.relevance : result.similarity),
      make("span", { class: "w-card-title" }, title),
      make("span", { class: "w-card-text" }, text),
    ];
    const button = make("button", { type: "button", class: "w-card", title: say("openDocument", { title }) }, ...lines);
    button.dataset.hit = `${result.document_id}#${result.chunk.ordinal}`;
    button.addEventListener("click", () => this.open(result));
    for (const [event, on] of [["mouseenter", true], ["mouseleave", false], ["focus", true], ["blur", false]]) {
      button.addEventListener(event, () => markBoth(button.dataset.hit, on));
    }
    return make("li", {}, button, isFinal ? thumbs(this.last.id, result.document_id, title) : null);
  }

  async open(result) {
    const dialog = find("document");
    find("document-title").textContent = result.title || result.document_id;
    find("document-error").textContent = "";
    find("document-facts").replaceChildren(...facts(result));
    find("document-text").replaceChildren(make("p", { class: "w-empty" }, "…"));
    dialog.showModal();
    const collection = encodeURIComponent(this.last.collection);
    const id = result.document_id.split("/").map(encodeURIComponent).join("/");
    try {
      const found = await ask("GET", `v1/collections/${collection}/documents/${id}`);
      const [before, hit, after] = splitAtHit(found.text, result.chunk.start - found.start, result.chunk.end - found.start);
      const mark = make("mark", { "aria-label": say("hit") }, hit);
      find("document-text").replaceChildren(before, mark, after);
      mark.scrollIntoView({ block: "nearest" });
    } catch (error) {
      find("document-text").replaceChildren(make("mark", {}, result.text));
      tell("document", error, []);
    }
  }
}

function column(word, cards) {
  return make("section", {}, make("h2", {}, say(word)), make("ol", {}, ...cards));
}

function notices(answer) {
  if (answer.degraded) {
    const reason = say(`reason.${answer.degraded.reason}`);
    return [make("p", { class: "w-notice w-degraded", role: "status" }, say("degraded", { reason }))];
  }
  if (answer.rerank_skipped) return [make("p", { class: "w-notice" }, say(`skipped.${answer.rerank_skipped}`))];
  const ignored = answer.instruction_applied === false && answer.judged_by !== "recall-order";
  return ignored ? [make("p", { class: "w-notice" }, say("notApplied", { model: answer.judged_by }))] : [];
}

function summary(answer) {
  const { collection, recall: mode, ranked_by: by, judged_by: model } = answer;
  return say("searchSummary", { count: answer.results.length, collection, mode, by, model });
}

function times(timings) {
  const bars = stageTimes(timings).map(({ stage, ms, share }) => {
    const bar = make("span", { class: "w-bar", "aria-hidden": "true" }, make("i"));
    bar.firstChild.style.width = `${Math.round(share * 100)}%`;
    const text = ms === null || ms === undefined ? say("notRun") : `${ms.toFixed(1)} ms`;
    return make("div", {}, make("dt", {}, say(`stage.${stage}`)), bar, make("dd", {}, text));
  });
  const total = make("div", { class: "w-total" }, make("dt", {}, say("total")), make("dd", {}, `${timings.total.toFixed(1)} ms`));
  return make("dl", { class: "w-times" }, ...bars, total);
}

function facts(result) {
  const shownFacts = { id: result.document_id, ...result.metadata };
  return Object.entries(shownFacts).map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, typeof value === "string" ? value : JSON.stringify(value))),
  );
}

/** Show where the passage stands in the other column. */
function markBoth(hit, on) {
  for (const card of document.querySelectorAll(".w-card")) card.classList.toggle("w-same", on && card.dataset.hit === hit);
}
