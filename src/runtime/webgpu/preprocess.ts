// The few directives that WGSL lacks, so that kernels can be specialised and loops unrolled where a compiler might spill:
//   #include "common/math.wgsl"      a file under kernels/, once per kernel
//   #include "common/math.wgsl" as x_    once more: each name that it declares, and V, starts with x_
//   #if EXPRESSION  #elif EXPRESSION  #else  #endif
//   #for NAME in FIRST..END  #endfor  repeats its lines with $NAME replaced by FIRST … END - 1
// Expressions hold whole numbers, true, false, constants by name, max(a, b), min(a, b), and ( ) ! * / % + - < <= > >= == != && ||.
// Every line remembers where it came from, so that the compiler's complaints can be told in terms of the files.
import { RuntimeError } from "../types.ts";

export interface SourceLine {
  readonly text: string;
  readonly file: string;
  readonly line: number;
}

export type Constants = ReadonlyMap<string, number | boolean>;

/** Reads a file by its path under kernels/. */
export type Include = (path: string) => string;

export function preprocess(file: string, source: string, constants: Constants, include: Include): SourceLine[] {
  const lines = source.split("\n").map((text, i) => ({ text, file, line: i + 1 }));
  return expand(lines, constants, include, new Set([file]));
}

function expand(lines: readonly SourceLine[], constants: Constants, include: Include, seen: Set<string>): SourceLine[] {
  const output: SourceLine[] = [];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    if (line === undefined) break;
    const directive = /^\s*#(\w+)\s*(.*?)\s*(?:\/\/.*)?$/.exec(line.text);
    if (directive === null) {
      output.push(line);
      continue;
    }
    const [, name = "", argument = ""] = directive;
    if (name === "include") {
      const [, path = "", prefix = ""] = /^"?([^"\s]+)"?(?:\s+as\s+(\w+))?$/.exec(argument) ?? [];
      if (prefix === "" && seen.has(path)) continue;
      if (prefix === "") seen.add(path);
      const text = include(path);
      const included = text.split("\n").map((t, n) => ({ text: t, file: path, line: n + 1 }));
      const lines = expand(included, constants, include, prefix === "" ? seen : new Set([path]));
      output.push(...(prefix === "" ? lines : renamed(lines, new Set([...declaredIn(lines), "V"]), prefix)));
    } else if (name === "if") {
      const { branches, end } = branchesFrom(lines, i);
      const taken = branches.find(({ condition, at }) => condition === "" || evaluate(condition, constants, at) !== 0);
      if (taken !== undefined) output.push(...expand(taken.body, constants, include, seen));
      i = end;
    } else if (name === "for") {
      const { body, end } = blockFrom(lines, i);
      const range = /^(\w+)\s+in\s+(.+?)\.\.(.+)$/.exec(argument);
      if (range === null) throw mistake(line, `"#for ${argument}" is not #for NAME in FIRST..END`);
      const [, variable = "", first = "", last = ""] = range;
      const stop = evaluate(last, constants, line);
      for (let value = evaluate(first, constants, line); value < stop; value++) {
        const pattern = new RegExp(`\\$${variable}\\b`, "g");
        const repeated = body.map((l) => ({ ...l, text: l.text.replace(pattern, String(value)) }));
        output.push(...expand(repeated, constants, include, seen));
      }
      i = end;
    } else
      throw mistake(line, `"#${name}" is not a directive here; allowed: include, if, elif, else, endif, for, endfor`);
  }
  return output;
}

const DECLARATION = /^\s*(?:fn|const|alias|struct|override|var<workgroup>|var<private>)\s+(\w+)/;

/** Names that lines declare for the whole shader. */
export function declaredIn(lines: readonly SourceLine[]): string[] {
  return lines.flatMap(({ text }) => DECLARATION.exec(text)?.[1] ?? []);
}

/** The lines with a prefix before these names. */
export function renamed(lines: readonly SourceLine[], names: ReadonlySet<string>, prefix: string): SourceLine[] {
  const rename = (name: string): string => (names.has(name) ? `${prefix}${name}` : name);
  return lines.map((line) => ({ ...line, text: line.text.replace(/(?<![.\w])[A-Za-z_]\w*/g, rename) }));
}

const directiveOf = (line: SourceLine | undefined): string => /^\s*#(\w+)/.exec(line?.text ?? "")?.[1] ?? "";

/** The branches of the #if in line `start`; an empty condition always holds. */
function branchesFrom(lines: readonly SourceLine[], start: number) {
  const opening = lines[start] as SourceLine;
  const condition = (line: SourceLine): string => line.text.replace(/^\s*#\w+\s*/, "").replace(/\/\/.*$/, "");
  const branches = [{ condition: condition(opening), at: opening, body: [] as SourceLine[] }];
  let depth = 0;
  for (let i = start + 1; i < lines.length; i++) {
    const line = lines[i] as SourceLine;
    const name = directiveOf(line);
    if (depth === 0 && name === "endif") return { branches, end: i };
    if (depth === 0 && (name === "elif" || name === "else")) {
      branches.push({ condition: name === "else" ? "" : condition(line), at: line, body: [] });
      continue;
    }
    if (name === "if") depth++;
    if (name === "endif") depth--;
    branches.at(-1)?.body.push(line);
  }
  throw mistake(opening, "#if without #endif");
}

function blockFrom(lines: readonly SourceLine[], start: number) {
  let depth = 0;
  for (let i = start + 1; i < lines.length; i++) {
    const name = directiveOf(lines[i]);
    if (depth === 0 && name === "endfor") return { body: lines.slice(start + 1, i), end: i };
    if (name === "for") depth++;
    if (name === "endfor") depth--;
  }
  throw mistake(lines[start] as SourceLine, "#for without #endfor");
}

function mistake(line: SourceLine, message: string): RuntimeError {
  return new RuntimeError(`kernels/${line.file}:${line.line}  ${message}`);
}

/** Binding strength of binary operators. */
const operators: Readonly<Record<string, readonly [strength: number, apply: (a: number, b: number) => number]>> = {
  "||": [1, (a, b) => Number(a !== 0 || b !== 0)],
  "&&": [2, (a, b) => Number(a !== 0 && b !== 0)],
  "==": [3, (a, b) => Number(a === b)],
  "!=": [3, (a, b) => Number(a !== b)],
  "<=": [4, (a, b) => Number(a <= b)],
  ">=": [4, (a, b) => Number(a >= b)],
  "<": [4, (a, b) => Number(a < b)],
  ">": [4, (a, b) => Number(a > b)],
  "+": [5, (a, b) => a + b],
  "-": [5, (a, b) => a - b],
  "*": [6, (a, b) => a * b],
  "/": [6, (a, b) => Math.trunc(a / b)],
  "%": [6, (a, b) => a % b],
};

/** Value of an expression over whole numbers; true is 1, false 0. */
export function evaluate(expression: string, constants: Constants, at: SourceLine): number {
  const tokens = expression.match(/\d+|\w+|\|\||&&|[=!<>]=|[-+*/%<>!(),]|\S/g) ?? [];
  let next = 0;
  const primary = (): number => {
    const token = tokens[next++];
    if (token === "!") return primary() === 0 ? 1 : 0;
    if (token === "-") return -primary();
    if (token === "(") {
      const value = binary(0);
      if (tokens[next++] !== ")") throw mistake(at, `")" is missing in "${expression}"`);
      return value;
    }
    if (token !== undefined && /^\d+$/.test(token)) return Number(token);
    if (token === "true" || token === "false") return Number(token === "true");
    if ((token === "max" || token === "min") && tokens[next] === "(") {
      next++;
      const first = binary(0);
      if (tokens[next++] !== ",") throw mistake(at, `"${token}" takes two values in "${expression}"`);
      const second = binary(0);
      if (tokens[next++] !== ")") throw mistake(at, `")" is missing in "${expression}"`);
      return Math[token](first, second);
    }
    const value = constants.get(token ?? "");
    if (value === undefined) throw mistake(at, `"${token ?? ""}" in "${expression}" is not a constant of this kernel`);
    return Number(value);
  };
  const binary = (strength: number): number => {
    let left = primary();
    for (;;) {
      const operator = operators[tokens[next] ?? ""];
      if (operator === undefined || operator[0] <= strength) return left;
      next++;
      left = operator[1](left, binary(operator[0]));
    }
  };
  const value = binary(0);
  if (next < tokens.length) throw mistake(at, `"${tokens[next]}" is unexpected in "${expression}"`);
  return value;
}
