// Documents of a file. The browser reads it: nothing leaves the page but the rerank request.

import { InputError, parseLines } from "./logic.js";

export const FILE_BYTES_MAX = 8_000_000; // JSON may double it, and a rerank request has at most 16 MB
export const DOCUMENTS_MAX = 1_000; // of one rerank request

const KINDS = new Map([["txt", textLines], ["csv", csvTexts], ["jsonl", parseLines]]);
const SEPARATORS = [",", ";", "\t"];

/** The documents of a File. Throws an InputError at the field `documents`. */
export async function readDocuments(file) {
  const read = KINDS.get(file.name.split(".").pop().toLowerCase());
  if (!read) throw new InputError("documents", "fileKind", file.name);
  if (file.size > FILE_BYTES_MAX) throw new InputError("documents", "fileSize", file.name);
  const documents = read(decode(await file.arrayBuffer(), file.name));
  if (!documents.length) throw new InputError("documents", "fileEmpty", file.name);
  if (documents.length > DOCUMENTS_MAX) throw new InputError("documents", "fileMany", String(documents.length));
  return documents;
}

function decode(bytes, name) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError("documents", "fileEncoding", name);
  }
}

export function textLines(text) {
  return text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
}

/** The column `text`; a file of one column needs no header. */
export function csvTexts(text) {
  const firstLine = text.split(/\r?\n/, 1)[0];
  const counts = SEPARATORS.map((separator) => firstLine.split(separator).length);
  const separator = SEPARATORS[counts.indexOf(Math.max(...counts))];
  const rows = csvRows(text, separator);
  if (!rows.length) return [];
  const header = rows[0].map((cell) => cell.trim().toLowerCase());
  const place = header.indexOf("text");
  if (place < 0 && header.length > 1) throw new InputError("documents", "csvColumn", rows[0].join(", "));
  const texts = place < 0 ? rows.map((row) => row.join(separator)) : rows.slice(1).map((row) => row[place] ?? "");
  return texts.map((cell) => cell.trim()).filter(Boolean);
}

/** Rows of RFC 4180: a quoted cell may hold separators, line breaks and doubled quotes. Empty lines are left out. */
export function csvRows(text, separator) {
  const rows = [];
  let row = [];
  let cell = "";
  let line = 1;
  let quotedSince = 0; // the line where the open quote stands; 0 outside quotes
  const endRow = () => {
    row.push(cell);
    if (row.some((each) => each.trim())) rows.push(row);
    [row, cell] = [[], ""];
  };
  for (let place = 0; place < text.length; place += 1) {
    const character = text[place];
    if (character === "\n") line += 1;
    if (quotedSince) {
      if (character !== '"') cell += character;
      else if (text[place + 1] === '"') cell += text[(place += 1)];
      else quotedSince = 0;
    } else if (character === '"' && cell.trim() === "") [quotedSince, cell] = [line, ""];
    else if (character === separator) [row, cell] = [[...row, cell], ""];
    else if (character === "\n") endRow();
    else if (character !== "\r") cell += character;
  }
  if (quotedSince) throw new InputError("documents", "csvQuote", String(quotedSince));
  endRow();
  return rows;
}

/** How documents stand in the input: one per line where that is unambiguous, else as a JSON list. */
export function inputText(documents) {
  const isLine = (each) => typeof each === "string" && !/[\r\n]/.test(each) && each.trim() === each;
  if (documents.every(isLine) && !/^[[{]/.test(documents[0] ?? "")) return documents.join("\n");
  return `[\n${documents.map((each) => JSON.stringify(each)).join(",\n")}\n]`;
}
