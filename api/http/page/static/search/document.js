// An opened document: the hit marked, the passages next to it, and as much of the text around as is asked for.

import { ask, tell } from "../api.js";
import { find, make } from "../dom.js";
import { neighboursOf, piecesOf, placeOf } from "../logic.js";
import { say } from "../words.js";

const AROUND = 1_500; // characters before and after the neighbours at first
const MORE = 10_000; // characters that a button adds

export class DocumentDialog {
  constructor() {
    this.dialog = find("document");
    this.latest = 0; // an answer that arrives after another document was opened is dropped
    find("document-close").addEventListener("click", () => this.dialog.close());
    find("document-earlier").addEventListener("click", () => this.load({ from: this.from - MORE, to: this.to }));
    find("document-later").addEventListener("click", () => this.load({ from: this.from, to: this.to + MORE }));
  }

  /** `results` are all of the answer: a neighbour that is a result too stands there only. */
  open(result, results, collection) {
    Object.assign(this, { result, collection, near: neighboursOf(result, results) });
    find("document-title").textContent = result.title || result.document_id;
    find("document-facts").replaceChildren(...facts(result));
    find("document-text").replaceChildren(make("p", { class: "w-empty" }, "…"));
    for (const id of ["document-earlier", "document-later"]) find(id).hidden = true;
    this.dialog.showModal();
    return this.load({ from: this.near.start - AROUND, to: this.near.end + AROUND, isFirst: true });
  }

  async load({ from, to, isFirst = false }) {
    const { result, near } = this;
    const turn = (this.latest += 1);
    Object.assign(this, { from: Math.max(0, from), to });
    find("document-error").textContent = "";
    const id = result.document_id.split("/").map(encodeURIComponent).join("/");
    const collection = this.collection.split("/").map(encodeURIComponent).join("/");
    try {
      const found = await ask("GET", `v1/collections/${collection}/documents/${id}?start=${this.from}&end=${to}`);
      if (turn !== this.latest) return;
      this.show(piecesOf(found, { near, hit: result.chunk }), { isFirst });
      find("document-earlier").hidden = found.start === 0;
      find("document-later").hidden = found.end >= found.characters;
    } catch (error) {
      if (turn !== this.latest) return;
      if (isFirst) find("document-text").replaceChildren(make("mark", {}, result.text));
      tell("document", error, []);
    }
  }

  show(pieces, { isFirst }) {
    const place = find("document-text");
    const make_ = { text: (text) => text, near: (text) => make("span", { class: "w-near" }, text), hit: (text) => make("mark", {}, text) };
    place.replaceChildren(...pieces.filter(({ text }) => text).map(({ kind, text }) => make_[kind](text)));
    if (isFirst) place.querySelector("mark")?.scrollIntoView({ block: "center" });
  }
}

function facts(result) {
  const { section, where } = placeOf(result, say);
  const place = { ...(section && { [say("section")]: section }), ...(where && { [say("where")]: where }) };
  const shownFacts = { id: result.document_id, [say("passage")]: String(result.chunk.ordinal + 1), ...place, ...result.metadata };
  return Object.entries(shownFacts).map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, typeof value === "string" ? value : JSON.stringify(value))),
  );
}
