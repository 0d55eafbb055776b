// What else is wrong with a block in which single numbers are wrong: all errors of a file come at once.
import type { Context } from "./context.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { resolveBlock } from "./resolve-block.ts";
import type { BlockFields } from "./types.generated.ts";
import type { Violation } from "./validate.ts";

/** Numbers that any field may hold, so different that no check comes out the same for all of them by its value alone. */
const PROBES = [1, 2, 3];

/** Keywords of the schema that a number can break. */
const NUMERIC: ReadonlySet<string> = new Set(["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "type"]);

/**
 * Reports the errors that a block has whatever the numbers that broke the schema should be. Says nothing where something
 * else than a number is wrong: what was meant is then anyone's guess.
 */
export function lookPast(context: Context, fields: BlockFields, violations: readonly Violation[]): void {
  if (!violations.every(({ keyword }) => NUMERIC.has(keyword))) return;
  const paths = violations.map(({ path }) => path.slice(context.path.length));
  const findings = PROBES.map((probe) => {
    const healed = structuredClone(fields);
    const found = new Map<string, Diagnostic>();
    if (!paths.every((path) => replaceNumber(healed, path, probe))) return found;
    resolveBlock({ ...context, report: (diagnostic) => found.set(JSON.stringify(diagnostic), diagnostic) }, healed);
    return found;
  });
  for (const [key, diagnostic] of findings[0] ?? []) {
    if (findings.every((found) => found.has(key))) context.report(diagnostic);
  }
}

/** Puts `value` in place of the number at `path`; false where there is no number. */
function replaceNumber(fields: object, path: readonly string[], value: number): boolean {
  let holder = fields as Record<string, unknown>;
  for (const step of path.slice(0, -1)) {
    const next = Object.hasOwn(holder, step) ? holder[step] : undefined;
    if (typeof next !== "object" || next === null) return false;
    holder = next as Record<string, unknown>;
  }
  const last = path.at(-1);
  if (last === undefined || !Object.hasOwn(holder, last) || typeof holder[last] !== "number") return false;
  holder[last] = value;
  return true;
}
