// What the tab "Instructions" computes: the library by name, requests, parts of a prompt. No document, no network.

/** Names with their versions, newest first; own names before those that come with winnow, each by name. */
export function byName({ instructions, built_in: builtIn }, language = "en") {
  const named = new Map();
  for (const each of [...instructions, ...builtIn]) {
    if (!named.has(each.name)) named.set(each.name, { name: each.name, isBuiltIn: each.name.startsWith("builtin/"), versions: [] });
    named.get(each.name).versions.push(each);
  }
  const found = [...named.values()];
  for (const { versions } of found) versions.sort((one, other) => other.version - one.version);
  const place = ({ isBuiltIn, versions }) => (isBuiltIn ? 1 + Number(versions[0].language !== language) : 0);
  return found.sort((one, other) => place(one) - place(other) || one.name.localeCompare(other.name));
}

/** Names of which some version holds all words. */
export function matching(names, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return names.filter(({ name, versions }) => {
    const all = versions.map((each) => `${name} ${each.text} ${each.purpose}`).join(" ").toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

/** The name under which a copy is saved. */
export const ownName = (name) => name.replace(/^builtin\//, "");

export const FIELDS = ["text", "literal", "embedding_task", "variables", "purpose", "language", "author", "note"];

/** Values of the editor's fields for a version, or for a new instruction. */
export function editorValues(version) {
  return {
    text: version?.text ?? "",
    literal: version?.literal ?? false,
    embedding_task: version?.embedding_task ?? "",
    variables: version?.variables.length ? `[${version.variables.map((each) => JSON.stringify(each)).join(",\n ")}]` : "",
    purpose: version?.purpose ?? "",
    language: version?.language ?? "",
    author: version?.author ?? "",
    note: version?.note ?? "",
  };
}

/** The content of a draft. Fields that are empty are left out; `collections` stay as they were. */
export function contentBody(values, variables, version) {
  const content = { text: values.text };
  if (values.literal) content.literal = true;
  for (const name of ["embedding_task", "purpose", "language", "author", "note"]) {
    if (values[name].trim()) content[name] = values[name];
  }
  if (variables.length) content.variables = variables;
  if (version?.collections.length) content.collections = version.collections;
  return content;
}

export function previewBody({ content, values, query, document }) {
  const variables = Object.keys(values).length ? { variables: values } : {};
  return { content, ...variables, query, document, ids: true };
}

/** Which field of the editor an error of the API belongs to; null for the whole. */
export function editorField(problem) {
  const error = problem?.error ?? {};
  const path = (error.param ?? "").split(".");
  const field = path[0] === "content" ? path[1] : path[0];
  if (field === "name" || FIELDS.includes(field)) return field;
  if ((error.code ?? "").startsWith("variable_")) return "variables";
  if (/ instruction name;/.test(error.message ?? "")) return "name"; // it is in the path, so no parameter names it
  const named = /^[^:]+: (\w+): /.exec(error.message ?? "")?.[1]; // checks of the content name its field first
  return FIELDS.includes(named) ? named : null;
}

export const PARTS = ["prefix", "label", "instruction", "query", "fields", "document", "suffix"];

/** Neighbouring pieces of one part as one text. */
export function runsOf(pieces) {
  const runs = [];
  for (const { part, text } of pieces) {
    if (runs.at(-1)?.part === part) runs.at(-1).text += text;
    else runs.push({ part, text });
  }
  return runs;
}

/** Tokens of each part that occurs. */
export function tokensOf(pieces) {
  const counts = Object.fromEntries(PARTS.map((part) => [part, 0]));
  for (const { part, tokens } of pieces) counts[part] += tokens;
  return PARTS.filter((part) => counts[part] > 0).map((part) => ({ part, tokens: counts[part] }));
}

export function shadowBody({ version, share, live, keepQueries }) {
  const body = { version: Number(version), share: Number(share) };
  if (live.trim()) body.live = live.trim();
  if (keepQueries) body.keep_queries = true;
  return body;
}
