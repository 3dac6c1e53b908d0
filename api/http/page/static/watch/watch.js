// The tab "Watch": the report of ranking stability.

import { address, ask, hasKey, tell } from "../api.js";
import { clearErrors, find, make, Working } from "../dom.js";
import { curlLine } from "../logic.js";
import { addWords, say } from "../words.js";
import { FIGURES, reportPath } from "./logic.js";
import { reportParts } from "./report.js";
import { WORDS } from "./words.js";

addWords(WORDS);

const FIELDS = ["collection", "days"];
const SAMPLING = { share: 0.1 };
const GOLDEN = { name: "everyday", queries: [{ query: "how long may I return goods" }] };

export class WatchTab {
  constructor() {
    Object.assign(this, { collections: [], last: null, working: new Working("watch-form", "watch.read", "watch.reading") });
    find("watch-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.working.isWorking) this.read();
    });
    for (const name of FIELDS) find(`watch-${name}`).addEventListener("input", () => this.showRequest());
    find("watch-figure").addEventListener("change", () => this.showResult());
    this.refresh();
  }

  learn({ collections }) {
    this.collections = (collections ?? []).map(({ name }) => name).filter((name) => !name.includes("/")); // no granted ones
    this.refresh();
  }

  refresh() {
    this.choose("collection", ["", ...this.collections].map((name) => [name, name || say("watch.all")]));
    this.choose("figure", FIGURES.map((name) => [name, say(`watch.figure.${name}`)]));
    this.showRequest();
    this.showResult();
  }

  choose(field, options) {
    const select = find(`watch-${field}`);
    const { value } = select;
    select.replaceChildren(...options.map(([each, word]) => make("option", { value: each }, word)));
    if (options.some(([each]) => each === value)) select.value = value;
  }

  get path() {
    return reportPath(find("watch-collection").value, find("watch-days").value);
  }

  showRequest() {
    const collection = find("watch-collection").value || this.collections[0] || "COLLECTION";
    const line = (word, method, path, body) =>
      `# ${say(`watch.requests.${word}`)}\n${curlLine({ method, url: address(path), body, hasKey: hasKey() })}`;
    this.lines = {
      sampling: line("sampling", "PUT", "v1/stability/sampling", SAMPLING),
      golden: [line("golden", "POST", "v1/stability/golden", { ...GOLDEN, collection }),
        line("run", "POST", "v1/stability/runs", { name: GOLDEN.name })].join("\n\n"),
    };
    find("watch-curl").textContent = line("report", "GET", this.path);
  }

  read() {
    clearErrors("watch");
    return this.working.run(async () => {
      try {
        this.last = await ask("GET", this.path);
        this.showRequest();
        this.showResult();
      } catch (error) {
        const fault = error.problem?.error;
        if (fault?.param) fault.param = fault.param.replace(/^query\./, ""); // a parameter of the address
        tell("watch", error, FIELDS);
        if (find("key-error").textContent) find("watch-error").textContent = find("key-error").textContent;
      }
    });
  }

  showResult() {
    find("watch-result").replaceChildren(...reportParts(this.last, find("watch-figure").value, this.lines));
  }
}
