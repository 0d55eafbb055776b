// Documents from JSON Lines: one object a line, the text in one of its fields.
import { DataError } from "./error.ts";
import type { Document } from "./text.ts";

/**
 * The documents of a JSON Lines file. Blank lines are skipped.
 * Throws {@link DataError} with file and line for a line that is not an object with a string in `field`.
 */
export function parseJsonl(bytes: Uint8Array, file: string, field: string): Document[] {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`${file}: not valid UTF-8, which JSON must be`, { cause });
  }
  const documents: Document[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const place = `${file}:${index + 1}`;
    documents.push({ name: place, text: fieldOf(line, place, field) });
  }
  return documents;
}

function fieldOf(line: string, place: string, field: string): string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new DataError(`${place}: not valid JSON (${cause instanceof Error ? cause.message : cause})`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DataError(`${place}: not an object, but ${shorten(JSON.stringify(value))}`);
  }
  if (!Object.hasOwn(value, field)) {
    const fields = Object.keys(value).map((key) => `"${key}"`);
    throw new DataError(`${place}: no field "${field}"; found ${shorten(fields.join(", ")) || "no fields"}`);
  }
  const text: unknown = (value as Record<string, unknown>)[field];
  if (typeof text !== "string") {
    throw new DataError(`${place}: field "${field}" is ${shorten(JSON.stringify(text))}, not a string`);
  }
  return text;
}

function shorten(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}
