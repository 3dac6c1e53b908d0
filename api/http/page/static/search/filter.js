// A filter as rows of a form, and as JSON: {type, key, value}, or {type: "and" | "or", filters: [...]}. No document.

import { readNumber } from "../logic.js";

export const OPERATORS = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "absent", "present"];
const LISTS = new Set(["in", "nin"]);
const WITHOUT_VALUE = new Map([["absent", "eq"], ["present", "ne"]]); // compare with null
const ORDERED = new Set(["gt", "gte", "lt", "lte"]);

export const needsValue = (operator) => !WITHOUT_VALUE.has(operator);
export const isList = (operator) => LISTS.has(operator);

/** The types of an attribute, of `number or text`. */
export function typesOf(attribute = "text") {
  return attribute.split(" or ").map((type) => (type === "list of texts" ? "text" : type));
}

export function operatorsOf(attribute) {
  const isOrdered = typesOf(attribute).some((type) => type !== "boolean");
  return OPERATORS.filter((operator) => isOrdered || !ORDERED.has(operator));
}

/** A value as the attribute is typed. What does not fit stays a text: the service tells what is wrong. */
export function typedValue(text, attribute) {
  const types = typesOf(attribute);
  const trimmed = text.trim();
  if (types.includes("boolean") && /^(true|false)$/.test(trimmed)) return trimmed === "true";
  return (types.includes("number") ? readNumber(text) : undefined) ?? text;
}

/** Rows {key, operator, text} joined by "and" or "or" as a filter; null without a row that has a key. */
export function filterOf(rows, join, attributes) {
  const filters = rows.filter(({ key }) => key).map(({ key, operator, text }) => {
    if (!needsValue(operator)) return { type: WITHOUT_VALUE.get(operator), key, value: null };
    const typed = (part) => typedValue(part, attributes[key]);
    return { type: operator, key, value: isList(operator) ? splitList(text).map(typed) : typed(text) };
  });
  if (filters.length === 0) return null;
  return filters.length === 1 ? filters[0] : { type: join, filters };
}

/** Texts between commas; a part that holds a comma stands in double quotes, as in CSV. */
export function splitList(text) {
  const parts = text.match(/\s*("(?:[^"]|"")*"|[^,]*)\s*(?:,|$)/g) ?? [];
  return parts
    .map((part) => part.replace(/,$/, "").trim())
    .filter(Boolean)
    .map((part) => (/^".*"$/s.test(part) ? part.slice(1, -1).replaceAll('""', '"') : part));
}

const isLong = (value) => JSON.isRawJSON?.(value) ?? false; // a number of which JavaScript would change the digits
const textOf = (value) => (isLong(value) ? value.rawJSON : String(value));
const isSimple = (value) => isLong(value) || (typeof value !== "object" && value !== undefined);
const joinList = (values) => values.map(textOf).map((each) => (/[",]|^\s|\s$/.test(each) ? `"${each.replaceAll('"', '""')}"` : each)).join(", ");

/** The rows of a filter, or null where rows cannot show it: nested, or with values of other types. */
export function rowsOf(filter, attributes) {
  if (filter === null) return { join: "and", rows: [] };
  const isJoined = filter?.type === "and" || filter?.type === "or";
  if (isJoined && (!Array.isArray(filter.filters) || filter.filters.length < 2)) return null;
  const rows = (isJoined ? filter.filters : [filter]).map(rowOf);
  const found = { join: isJoined ? filter.type : "and", rows };
  if (rows.includes(null)) return null;
  // Rows that would not give the same filter again must not replace it.
  return sameJson(filterOf(rows, found.join, attributes), filter) ? found : null;
}

function rowOf(filter) {
  const { type, key, value } = filter ?? {};
  if (typeof key !== "string" || !OPERATORS.includes(type) || !needsValue(type)) return null;
  if (value === null) return type === "eq" || type === "ne" ? { key, operator: type === "eq" ? "absent" : "present", text: "" } : null;
  if (isList(type)) return Array.isArray(value) && value.every(isSimple) ? { key, operator: type, text: joinList(value) } : null;
  return isSimple(value) ? { key, operator: type, text: textOf(value) } : null;
}

const sorted = (value) =>
  value && typeof value === "object" && !Array.isArray(value) && !isLong(value)
    ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
    : Array.isArray(value) ? value.map(sorted) : value;

const sameJson = (one, other) => JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
