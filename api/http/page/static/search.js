// The tab "Search": a collection, in recall's order and in the final order.

import { address, ask, hasKey, tell } from "./api.js";
import { clearErrors, find, make, moveBadge, reveal, Working } from "./dom.js";
import { thumbs } from "./feedback.js";
import { Instruction } from "./instruction.js";
import { curlLine, placeOf, searchBody, searchColumns, shown, stageTimes } from "./logic.js";
import { scoreBar } from "./rerank.js";
import { DocumentDialog } from "./search/document.js";
import { FilterBuilder } from "./search/filter_builder.js";
import { drawLines } from "./search/lines.js";
import { say } from "./words.js";

const INPUTS = ["query", "collection", "filter", "recall", "candidates", "results", "depth", "rerank"];
const FIELDS = [...INPUTS, "instruction", "top_k"];
const ROWS_AT_FIRST = 10;
const SNIPPET = 180; // characters

export class SearchTab {
  constructor() {
    this.instruction = new Instruction("search", document.querySelector('[data-for="search"]'), () => this.showRequest());
    this.collections = [];
    this.last = null; // the answer
    this.all = false;
    this.working = new Working("search-form", "search", "searching");
    find("search-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.working.isWorking) this.submit();
    });
    this.filter = new FilterBuilder(() => this.showRequest());
    this.document = new DocumentDialog();
    find("search-options").open = !window.matchMedia("(max-width: 640px)").matches;
    for (const name of INPUTS) find(`search-${name}`).addEventListener("input", () => this.showRequest());
    find("search-collection").addEventListener("input", () => this.showAttributes());
    this.refresh();
  }

  refresh() {
    this.instruction.render();
    this.filter.render();
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
    this.showAttributes();
  }

  showAttributes() {
    const known = this.collections.find(({ name }) => name === find("search-collection").value);
    this.filter.setAttributes(known?.attributes ?? {});
  }

  get input() {
    const values = Object.fromEntries(INPUTS.map((name) => [name, find(`search-${name}`).value]));
    return { ...values, instruction: this.instruction.named };
  }

  showRequest() {
    let body;
    try {
      body = searchBody(this.input);
    } catch (error) {
      find("search-curl").textContent = say(error.message, { detail: error.detail });
      return;
    }
    find("search-curl").textContent = curlLine({ url: address("v1/search"), body, hasKey: hasKey() });
  }

  submit() {
    clearErrors("search");
    return this.working.run(async () => {
      try {
        this.last = await ask("POST", "v1/search", searchBody(this.input));
        this.all = false;
        this.showResult();
        reveal(find("search-result"));
      } catch (error) {
        tell("search", error, FIELDS);
      }
    });
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
    const moves = new Map(ranked.map(({ result, moved }) => [result, moved]));
    const left = recalled.slice(0, limit).map((result) => this.card(result, { row: result.recall_rank }));
    const right = ranked.slice(0, limit).map(({ result }) => this.card(result, { row: result.rank, moved: moves.get(result) }));
    const title = answer.judged_by === "recall-order" ? "finalOrder" : "reranked";
    const columns = make("div", { class: "w-columns" }, column("recallOrder", left), column(title, right));
    place.replaceChildren(
      ...notices(answer),
      make("p", { class: "w-summary" }, summary(answer)),
      times(answer.timings_ms),
      count ? columns : make("p", { class: "w-empty" }, say("nothing")),
    );
    if (count) drawLines(columns);
    if (limit < count) {
      const more = make("button", { type: "button", class: "w-quiet" }, say("more", { count }));
      more.addEventListener("click", () => {
        this.all = true;
        this.showResult();
        place.focus({ preventScroll: true });
      });
      place.append(more);
    }
  }

  /** A passage: a button that opens its document. */
  card(result, { row, moved }) {
    const isFinal = moved !== undefined;
    const title = result.title || result.document_id;
    const { section, where } = placeOf(result, say);
    const text = result.text.length > SNIPPET ? `${result.text.slice(0, SNIPPET)} …` : result.text;
    const lines = [
      make("span", { class: "w-card-top" }, make("b", {}, String(row)), make("span", { class: "w-card-title" }, title),
        isFinal ? moveBadge(moved) : null),
      make("span", { class: "w-card-score" }, scoreBar(isFinal ? result.relevance : result.similarity), ...scores(result, isFinal)),
      section || where ? make("span", { class: "w-card-place" }, [section, where].filter(Boolean).join(" · ")) : null,
      make("span", { class: "w-card-text" }, text),
      result.truncated && isFinal ? make("span", { class: "w-cut" }, `✂ ${say("cut")}`) : null,
    ];
    const button = make("button", { type: "button", class: "w-card", title: say("openDocument", { title }) }, ...lines);
    button.dataset.hit = `${result.document_id}#${result.chunk.ordinal}`;
    if (isFinal) button.dataset.moved = moved;
    button.addEventListener("click", () => this.document.open(result, this.last.results, this.last.collection));
    for (const [event, on] of [["mouseenter", true], ["mouseleave", false], ["focus", true], ["blur", false]]) {
      button.addEventListener(event, () => markBoth(button.dataset.hit, on));
    }
    return make("li", {}, button, isFinal ? thumbs(this.last.id, result.document_id, title) : null);
  }
}

/** The score of the column, and in recall's column the words' score where lexical search found the passage. */
function scores({ similarity, lexical_score: lexical, relevance }, isFinal) {
  if (isFinal) return [make("span", {}, `${say("relevance")} ${relevance === null ? say("notReranked") : shown(relevance)}`)];
  const parts = [make("span", {}, `${say("similarity")} ${shown(similarity)}`)];
  if (lexical !== null) parts.push(make("span", {}, `BM25 ${lexical.toFixed(1)}`));
  return parts;
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

/** Show where the passage stands in the other column. */
function markBoth(hit, on) {
  for (const each of document.querySelectorAll("#search-result [data-hit]")) {
    each.classList.toggle("w-marked", on && each.dataset.hit === hit);
  }
}
