// The builder of a filter, and the JSON next to it. Each writes the other; what rows cannot show stays JSON only.

import { find, make, replaceParts } from "../dom.js";
import { filterOf, isList, needsValue, operatorsOf, rowsOf, typesOf } from "./filter.js";
import { readJson } from "../logic.js";
import { say } from "../words.js";

export class FilterBuilder {
  constructor(onChange) {
    Object.assign(this, { onChange, attributes: {}, rows: [], join: "and", isNested: false });
    find("search-filter").addEventListener("input", () => this.readJson());
    find("search-filter-add").addEventListener("click", () => this.add());
    find("search-filter-join").addEventListener("change", (event) => {
      this.join = event.target.value;
      this.writeJson();
    });
    this.render();
  }

  setAttributes(attributes) {
    this.attributes = attributes;
    this.readJson();
  }

  add() {
    const [key = ""] = Object.keys(this.attributes);
    this.rows.push({ key, operator: "eq", text: this.firstValue(key) });
    this.writeJson();
    this.render();
    find(`search-filter-key-${this.rows.length - 1}`).focus();
  }

  firstValue(key) {
    return this.offersBoolean(key) ? "true" : "";
  }

  offersBoolean(key) {
    const types = typesOf(this.attributes[key]);
    return types.length === 1 && types[0] === "boolean";
  }

  remove(place) {
    this.rows.splice(place, 1);
    this.writeJson();
    this.render();
    find("search-filter-add").focus();
  }

  change(place, changed, { redraw = false } = {}) {
    Object.assign(this.rows[place], changed);
    this.writeJson();
    if (redraw) this.render();
  }

  /** The rows become the JSON. */
  writeJson() {
    const filter = filterOf(this.rows, this.join, this.attributes);
    find("search-filter").value = filter === null ? "" : JSON.stringify(filter, null, 1);
    this.onChange();
  }

  /** The JSON becomes the rows. While it is being typed and cannot be read, the rows stay as they were. */
  readJson() {
    const text = find("search-filter").value.trim();
    const isEdited = document.activeElement === find("search-filter");
    try {
      const found = rowsOf(text ? readJson(text) : null, this.attributes);
      this.isNested = found === null;
      if (found) Object.assign(this, found);
    } catch {
      if (!isEdited) this.isNested = true;
    }
    this.render();
    this.onChange();
  }

  render() {
    const hasAttributes = Object.keys(this.attributes).length > 0;
    replaceParts(find("search-filter-rows"), ...(this.isNested ? [] : this.rows.map((row, place) => this.row(row, place))));
    find("search-filter-nested").textContent = this.isNested ? say("filterNested") : hasAttributes ? "" : say("noAttributes");
    find("search-filter-add").hidden = this.isNested || !hasAttributes;
    const join = find("search-filter-join");
    join.value = this.join;
    join.parentElement.hidden = this.isNested || this.rows.length < 2;
    const count = this.isNested ? say("filterOwn") : this.rows.length || say("filterNone");
    find("search-filter-count").textContent = count;
  }

  row(row, place) {
    const attribute = this.attributes[row.key];
    const names = Object.keys(this.attributes).includes(row.key) ? Object.keys(this.attributes) : [row.key, ...Object.keys(this.attributes)];
    const id = (part) => `search-filter-${part}-${place}`;
    const keys = names.map((name) => [name, this.attributes[name] ? `${name} (${this.typeName(name)})` : name]);
    const key = choice(id("key"), say("filterKey"), keys, row.key);
    key.addEventListener("change", () => {
      const operators = operatorsOf(this.attributes[key.value]);
      const operator = operators.includes(row.operator) ? row.operator : "eq";
      this.change(place, { key: key.value, operator, text: this.firstValue(key.value) }, { redraw: true });
    });
    const operators = operatorsOf(attribute).map((each) => [each, say(`operator.${each}`)]);
    const operator = choice(id("operator"), say("filterOperator"), operators, row.operator);
    operator.addEventListener("change", () => this.change(place, { operator: operator.value }, { redraw: true }));
    const remove = make("button", { type: "button", class: "w-quiet w-remove", "aria-label": say("filterRemove", { key: row.key }) }, "×");
    remove.addEventListener("click", () => this.remove(place));
    const value = needsValue(row.operator) ? this.value(row, place, id("value")) : make("span", { class: "w-no-value" });
    return make("div", { class: "w-condition", role: "group", "aria-label": row.key }, key, operator, value, remove);
  }

  typeName(name) {
    return this.attributes[name].split(" or ").map((type) => say(`type.${type}`)).join(" / ");
  }

  value(row, place, id) {
    if (this.offersBoolean(row.key) && !isList(row.operator)) {
      const input = choice(id, say("filterValue"), [["true", "true"], ["false", "false"]], row.text);
      input.addEventListener("change", () => this.change(place, { text: input.value }));
      return input;
    }
    const types = typesOf(this.attributes[row.key]);
    const isNumber = types.length === 1 && types[0] === "number" && !isList(row.operator);
    const input = make("input", {
      id, autocomplete: "off", "aria-label": say("filterValue"), inputmode: isNumber ? "decimal" : null,
      placeholder: isList(row.operator) ? say("filterList") : null,
    });
    input.value = row.text;
    input.addEventListener("input", () => this.change(place, { text: input.value }));
    return input;
  }
}

function choice(id, label, options, value) {
  const select = make("select", { id, "aria-label": label });
  select.append(...options.map(([each, text]) => make("option", { value: each }, text)));
  select.value = value;
  return select;
}
