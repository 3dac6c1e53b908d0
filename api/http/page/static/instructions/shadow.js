// A shadow of the chosen instruction: start it, read its report, end it.

import { address, ask, hasKey, tell } from "../api.js";
import { clearErrors, find, make } from "../dom.js";
import { curlLine, shown } from "../logic.js";
import { say } from "../words.js";
import { shadowBody } from "./logic.js";

const FIELDS = ["version", "live", "share"];
const MODEL_CARD = "default"; // the instruction of searches without one

export class Shadow {
  constructor(onChange) {
    Object.assign(this, { onChange, name: null, report: null });
    const inputs = ["shadow-version", "shadow-live", "shadow-share", "shadow-keep"];
    for (const id of inputs) find(id).addEventListener("input", onChange);
    find("shadow-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    find("shadow-report").addEventListener("click", () => this.try(() => this.read()));
    find("shadow-stop").addEventListener("click", () => this.stop());
  }

  get path() {
    return `v1/instructions/${encodeURIComponent(this.name)}/shadow`;
  }

  get body() {
    return shadowBody({
      version: find("shadow-version").value,
      share: find("shadow-share").value,
      live: find("shadow-live").value,
      keepQueries: find("shadow-keep").checked,
    });
  }

  /** `named` has the chosen name and its versions; null for a new or a built-in one. */
  choose(named) {
    const isSame = this.name === (named?.name ?? null);
    if (!isSame) this.report = null;
    this.name = named?.name ?? null;
    const options = (named?.versions ?? []).map(({ version, state }) =>
      make("option", { value: version }, `@${version} · ${say(`instructions.state.${state}`)}`));
    const { value } = find("shadow-version");
    find("shadow-version").replaceChildren(...options);
    if (isSame && options.some((each) => each.value === value)) find("shadow-version").value = value;
    find("shadow-form").hidden = this.name === null;
    find("shadow-none").hidden = this.name !== null;
    find("shadow-done").textContent = "";
    const isNew = this.name !== null && !named.versions.some(({ state }) => state === "published");
    if (isNew && !find("shadow-live").value) find("shadow-live").value = MODEL_CARD; // no search can be under it yet
    this.show();
  }

  lines() {
    if (this.name === null) return [];
    const line = (method, body) => curlLine({ method, url: address(this.path), body, hasKey: hasKey() });
    return [["start", line("PUT", this.body)], ["report", line("GET")]];
  }

  async try(action) {
    clearErrors("shadow");
    find("shadow-done").textContent = "";
    try {
      await action();
    } catch (error) {
      if (error.problem?.error?.code === "instruction_not_found") error.problem.error.param = "live";
      tell("shadow", error, FIELDS);
      if (find("key-error").textContent) find("shadow-error").textContent = find("key-error").textContent;
    }
  }

  start() {
    return this.try(async () => {
      const { name, version, live, share } = await ask("PUT", this.path, this.body);
      find("shadow-done").textContent = say("instructions.started", { name, version, live, share });
      await this.read();
    });
  }

  stop() {
    return this.try(async () => {
      await ask("DELETE", this.path);
      find("shadow-done").textContent = say("instructions.stopped");
      await this.read();
    });
  }

  async read() {
    this.report = await ask("GET", this.path);
    this.show();
  }

  show() {
    find("shadow-result").replaceChildren(...(this.report ? reportParts(this.report) : []));
  }
}

function reportParts({ name, shadow, pairs }) {
  const at = shadow && shadow.started_at.slice(0, 16).replace("T", " ");
  const now = shadow ? say("instructions.runs", { ...shadow, at }) : say("instructions.ended");
  const live = shadow?.live ?? name;
  return [
    make("p", { class: "w-summary" }, now),
    ...(pairs.length ? [figures(pairs)] : [make("p", { class: "w-empty" }, say("instructions.noPairs", { live }))]),
    ...pairs.slice(0, 1).flatMap(({ most_changed: examples }) =>
      examples.length ? [make("h3", {}, say("instructions.mostChanged")), ...examples.map(example)] : []),
  ];
}

function spread(found) {
  if (found === null) return "–";
  return say("instructions.spread", { mean: shown(found.mean), p10: shown(found.p10), p90: shown(found.p90) });
}

function figures(pairs) {
  const names = ["pair", "searches", "overlap", "rbo", "tau", "topChanged"].map((name) => say(`instructions.${name}`));
  const rows = pairs.map((pair) => [
    `${pair.live} – ${pair.shadow}`, String(pair.searches), spread(pair.overlap), spread(pair.rbo), spread(pair.tau),
    `${(100 * pair.top_changed).toFixed(0)} %`,
  ]);
  const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)));
  const body = rows.map((row) => make("tr", {}, ...row.map((text, place) => make("td", { "data-label": names[place] }, text))));
  return make("table", { class: "w-figures" }, make("thead", {}, head), make("tbody", {}, ...body));
}

function example({ query, query_sha256: digest, rbo, collection, live_order: live, shadow_order: order }) {
  const title = query ?? `${say("instructions.hidden")} · ${digest.slice(0, 12)}`;
  const list = (word, places) => make("section", {}, make("h4", {}, say(word)),
    make("ol", {}, ...places.slice(0, 10).map(({ document_id: id, ordinal }) => make("li", {}, ordinal ? `${id} #${ordinal}` : id))));
  return make("details", { class: "w-fold w-example" },
    make("summary", {}, `${title} · ${collection} · RBO ${shown(rbo)}`),
    make("div", { class: "w-orders" }, list("instructions.liveOrder", live), list("instructions.shadowOrder", order)));
}
