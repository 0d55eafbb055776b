// config.json as it occurs in the wild: Python writes Infinity and NaN bare, which is not JSON, and transformers 5 writes
// {"__float__": "Infinity"}. Both become numbers here.
import { HuggingFaceError } from "./error.ts";

/** Longest config.json read, in UTF-16 units: the largest published ones have some 20,000. */
const MAX_CONFIG_TEXT = 10_000_000;

/** Stands for a bare number that JSON lacks while JSON.parse runs; no text in a config holds a zero byte. */
const MARK = "\\u0000";

const WORDS: ReadonlyMap<string, number> = new Map([
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
  ["NaN", Number.NaN],
]);

/**
 * Parses a JSON object, taking the non-finite numbers that Python and transformers write.
 * @throws HuggingFaceError for anything else that is not JSON, or not an object.
 */
export function parseConfigJson(text: string, file: string): Readonly<Record<string, unknown>> {
  if (text.length > MAX_CONFIG_TEXT) throw new HuggingFaceError(file, `longer than ${MAX_CONFIG_TEXT} characters`);
  // A string is skipped as a whole, so that words inside of it stay what they are.
  const quoted = text.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g, (token) =>
    token.startsWith('"') ? token : `"${MARK}${token}"`,
  );
  let value: unknown;
  try {
    value = JSON.parse(quoted, reviveNumber);
  } catch (cause) {
    throw new HuggingFaceError(file, `not JSON: ${(cause as Error).message}`, { cause });
  }
  if (!isObject(value)) throw new HuggingFaceError(file, "not a JSON object");
  return value;
}

function reviveNumber(_key: string, value: unknown): unknown {
  if (typeof value === "string" && value.startsWith("\0")) return WORDS.get(value.slice(1));
  if (isObject(value) && Object.keys(value).length === 1 && typeof value.__float__ === "string") {
    return WORDS.get(value.__float__) ?? value;
  }
  return value;
}

/** JSON text of a config, indented as transformers does; non-finite numbers in the form of transformers 5. */
export function formatConfigJson(config: Readonly<Record<string, unknown>>): string {
  const replace = (_key: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isFinite(value) ? { __float__: String(value) } : value;
  return `${JSON.stringify(config, replace, 2)}\n`;
}

/** Whether `value` is an object with keys (no list). */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
