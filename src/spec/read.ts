// From YAML text to located data. YAML's own errors are said in plain words; aliases are followed within a budget, so
// that a small file cannot unfold into a huge one.
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type ParsedNode,
  parseDocument,
  type Scalar,
  type YAMLError,
} from "yaml";
import { type Diagnostic, diagnosticAt, diagnosticOfFile } from "./diagnostic.ts";
import type { LocatedEntry, LocatedNode } from "./located.ts";
import type { SourceText, Span } from "./source.ts";
import { lineAt, positionAt, sourceText } from "./source.ts";

/** Most values one file may hold, aliases followed. */
export const MAX_VALUES = 50_000;
/** Longest file read, in UTF-16 units. */
export const MAX_TEXT = 4_000_000;
/** Deepest nesting of mappings and lists. */
export const MAX_DEPTH = 64;

export interface ReadResult {
  /** undefined where the text could not be read; `diagnostics` then says why. */
  readonly root: LocatedNode | undefined;
  readonly source: SourceText;
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads one YAML document. Never throws: what is wrong is in `diagnostics`. */
export function readYaml(file: string, text: string): ReadResult {
  const source = sourceText(file, text.startsWith("\uFEFF") ? text.slice(1) : text);
  const fail = (diagnostics: readonly Diagnostic[]): ReadResult => ({ root: undefined, source, diagnostics });
  if (source.text.length > MAX_TEXT) {
    return fail([diagnosticOfFile(file, { message: `is longer than ${MAX_TEXT} characters` })]);
  }
  if (source.text.includes("\0")) {
    return fail([diagnosticOfFile(file, { message: "holds zero bytes: this is not a text file" })]);
  }
  let document: Document.Parsed<ParsedNode>;
  try {
    document = parseDocument(source.text, { prettyErrors: false, uniqueKeys: false, strict: true });
  } catch {
    // The parser recurses; only nesting beyond the stack makes it throw.
    return fail([diagnosticOfFile(file, { message: "is nested too deeply to be read" })]);
  }
  const problems = syntaxDiagnostics(source, document);
  if (problems.length > 0) return fail(problems);
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    return fail([
      diagnosticOfFile(file, {
        message: "is empty",
        hint: "an architecture needs name, d_model, vocab_size, blocks and layers",
      }),
    ]);
  }
  return new Reader(source).read(document.contents);
}

const SYNTAX_WORDS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: "a tab is used to indent; YAML allows spaces only",
  MULTIPLE_DOCS: "a second document starts here; a file holds one architecture",
  BLOCK_AS_IMPLICIT_KEY: "a mapping starts in the middle of a line; put it on lines of its own, or in { }",
  MULTILINE_IMPLICIT_KEY: "a key spans several lines",
  BAD_DQ_ESCAPE: "a backslash in double quotes starts an escape that YAML does not know",
  BAD_ALIAS: "* starts an alias in YAML; put quotes around a name that starts with *",
  BAD_DIRECTIVE: "a line starting with % is a directive that YAML does not know",
  TAG_RESOLVE_FAILED: "a tag (! …) is not allowed here",
  KEY_OVER_1024_CHARS: "a key is longer than 1024 characters",
};

/** YAML's own errors, the first of each line, up to where the parser lost its way. */
function syntaxDiagnostics(source: SourceText, document: Document.Parsed<ParsedNode>): Diagnostic[] {
  const problems = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  const byLine = new Map<number | null, Diagnostic>();
  for (const problem of problems) {
    const lineText = lineAt(source, positionAt(source, problem.pos[0]).line);
    const start = culprit(source.text, problem, problem.pos[0]);
    const message = syntaxMessage(problem, lineText, source.text.slice(start));
    const diagnostic = diagnosticAt({ source, start, end: start + 1 }, { message });
    if (!byLine.has(diagnostic.line)) byLine.set(diagnostic.line, diagnostic);
    if (problem.message.includes("in YAML stream")) break;
  }
  return [...byLine.values()];
}

/** Where the mistake is: the parser notices what is never closed only at the end. */
function culprit(text: string, problem: YAMLError, at: number): number {
  if (problem.message.startsWith("Flow sequence")) return unmatched(text, at, "[", "]");
  if (problem.message.startsWith("Flow map")) return unmatched(text, at, "{", "}");
  if (problem.code === "MISSING_CHAR" && problem.message.includes("quote")) {
    return Math.max(0, text.lastIndexOf(problem.message.includes('"') ? '"' : "'", at));
  }
  return at >= text.length ? Math.max(0, text.trimEnd().length - 1) : at;
}

/** The last opening bracket before `at` that nothing closes. */
function unmatched(text: string, at: number, open: string, close: string): number {
  let depth = 0;
  for (let i = Math.min(at, text.length) - 1; i >= 0; i--) {
    if (text[i] === close) depth++;
    else if (text[i] === open && depth-- === 0) return i;
  }
  return Math.max(0, Math.min(at, text.length - 1));
}

function syntaxMessage(problem: YAMLError, lineText: string, rest: string): string {
  const { code, message } = problem;
  if (/^\s*(-\s+)?\*\s*:/.test(lineText)) return SYNTAX_WORDS.BAD_ALIAS ?? message;
  if (code === "BAD_SCALAR_START") return `a value cannot start with ${message.at(-1) ?? ""}; put it in quotes`;
  if (code === "MISSING_CHAR" && message.includes("quote")) return "this quotation mark is never closed";
  if (code === "MISSING_CHAR" && message.includes("Implicit map keys")) return 'a key has no ":" and value after it';
  if (code === "BAD_INDENT") {
    if (message.startsWith("Flow sequence")) return 'this "[" is never closed with "]"';
    if (message.startsWith("Flow map")) return 'this "{" is never closed with "}"';
    return "the indentation does not match the lines before";
  }
  if (code === "BLOCK_AS_IMPLICIT_KEY" && !/:(\s|$)/.test(rest.split("\n", 1)[0] ?? "")) {
    return "the next line is indented deeper than this one, as if it were part of this value";
  }
  const token = /token in YAML stream: (".*")$/.exec(message)?.[1];
  if (token !== undefined) return `unexpected ${token}; is a ":", a quote or a bracket missing before it?`;
  return SYNTAX_WORDS[code] ?? `not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
}

class Reader {
  readonly #source: SourceText;
  readonly #diagnostics: Diagnostic[] = [];
  readonly #anchors = new Map<string, Node>();
  readonly #open = new Set<Node>();
  #count = 0;
  #stopped = false;

  constructor(source: SourceText) {
    this.#source = source;
  }

  read(contents: Node): ReadResult {
    const root = this.#convert(contents, 0);
    const failed = this.#diagnostics.length > 0;
    return { root: failed ? undefined : root, source: this.#source, diagnostics: this.#diagnostics };
  }

  #span(node: Node): Span {
    const [start, end] = node.range ?? [0, 0];
    return { source: this.#source, start, end };
  }

  #complain(span: Span, message: string, hint?: string): LocatedNode {
    if (!this.#stopped) this.#diagnostics.push(diagnosticAt(span, { message, hint }));
    return { kind: "scalar", value: null, written: "", span };
  }

  /** Complains and gives up on the whole file: what follows would be the same complaint again. */
  #stop(span: Span, message: string): LocatedNode {
    const node = this.#complain(span, message);
    this.#stopped = true;
    return node;
  }

  #convert(node: Node, depth: number): LocatedNode {
    const span = this.#span(node);
    if (this.#stopped) return { kind: "scalar", value: null, written: "", span };
    if (++this.#count > MAX_VALUES)
      return this.#stop(span, `aliases followed, there are more than ${MAX_VALUES} values`);
    if (depth > MAX_DEPTH) return this.#stop(span, `nested more than ${MAX_DEPTH} levels deep`);
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      if (target === undefined) {
        const hint = "* starts an alias in YAML: put a name or pattern that starts with * in quotes";
        return this.#complain(span, `nothing is anchored as &${node.source}`, hint);
      }
      if (this.#open.has(target)) return this.#stop(span, `the alias *${node.source} contains itself`);
      return this.#convert(target, depth + 1);
    }
    if (!isScalar(node) && !isMap(node) && !isSeq(node)) return this.#complain(span, "not a YAML value");
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return this.#scalar(node, span);
    this.#open.add(node);
    const result: LocatedNode = isSeq(node)
      ? { kind: "list", items: node.items.map((item) => this.#convert(item as Node, depth + 1)), span }
      : { kind: "map", entries: this.#entries(node.items, depth), span };
    this.#open.delete(node);
    return result;
  }

  #scalar(node: Scalar, span: Span): LocatedNode {
    const { value } = node;
    const written = this.#source.text.slice(span.start, span.end);
    if (typeof value === "number") {
      // What is not a finite number is text from here on: only a field that takes the word inf accepts any of it.
      if (value === Number.POSITIVE_INFINITY && /^\+?\.inf$/i.test(written)) {
        return { kind: "scalar", value: "inf", written, span };
      }
      return { kind: "scalar", value: Number.isFinite(value) ? value : written, written, span };
    }
    if (value === null || typeof value === "string" || typeof value === "boolean") {
      return { kind: "scalar", value, written, span };
    }
    return this.#complain(span, "not text, a number, true, false or null");
  }

  #entries(pairs: readonly { key: unknown; value: unknown }[], depth: number): Map<string, LocatedEntry> {
    const entries = new Map<string, LocatedEntry>();
    for (const pair of pairs) {
      const keyNode = pair.key as Node;
      const span = this.#span(keyNode);
      if (!isScalar(keyNode) || keyNode.value === null) {
        const hint = isAlias(keyNode)
          ? "* starts an alias in YAML: put a name that starts with * in quotes"
          : undefined;
        this.#complain(span, "a key must be a name", hint);
        continue;
      }
      if (keyNode.anchor !== undefined) this.#anchors.set(keyNode.anchor, keyNode);
      const key = typeof keyNode.value === "string" ? keyNode.value : this.#source.text.slice(span.start, span.end);
      const earlier = entries.get(key);
      if (key === "__proto__") {
        this.#complain(span, '"__proto__" cannot be used as a name');
      } else if (earlier !== undefined) {
        const line = this.#source.text.slice(0, earlier.key.start).split(/\r\n|\n|\r/).length;
        this.#complain(span, `"${key}" is given twice`, `the first is on line ${line}`);
      } else {
        const node =
          pair.value === null || pair.value === undefined
            ? ({ kind: "scalar", value: null, written: "", span } as const)
            : this.#convert(pair.value as Node, depth + 1);
        entries.set(key, { key: span, node });
      }
    }
    return entries;
  }
}
