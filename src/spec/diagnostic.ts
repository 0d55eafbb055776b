// What is wrong with a file, said so that it can be mended: file, line, column, the line itself with a caret, what was
// found and what would be right. Every error of the architecture language is a Diagnostic; SpecError carries them all.
import { lineAt, positionAt, type Span } from "./source.ts";

/** One error or warning. */
export interface Diagnostic {
  readonly severity: "error" | "warning";
  readonly file: string;
  /** From 1; null where the file as a whole is meant. */
  readonly line: number | null;
  readonly column: number | null;
  /** Number of characters to underline, at least 1, within the line. */
  readonly length: number;
  /** The field, e.g. `blocks.M.mixer.type`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
  /** What to do about it, e.g. `did you mean "mamba"?`; empty: nothing to add. */
  readonly hint: string;
  /** The text of the line. */
  readonly text: string;
}

export interface Complaint {
  readonly severity?: "error" | "warning";
  readonly path?: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** A diagnostic about a stretch of a source. */
export function diagnosticAt(span: Span, complaint: Complaint): Diagnostic {
  const { line, column } = positionAt(span.source, span.start);
  const text = lineAt(span.source, line);
  const room = Math.max(1, text.length - column + 1);
  const firstLineEnd = Math.min(span.end - span.start, room);
  return {
    severity: complaint.severity ?? "error",
    file: span.source.file,
    line,
    column,
    length: Math.max(1, firstLineEnd),
    path: complaint.path ?? "",
    message: complaint.message,
    hint: complaint.hint ?? "",
    text,
  };
}

/** A diagnostic about a whole file, such as one that cannot be read. */
export function diagnosticOfFile(file: string, complaint: Complaint): Diagnostic {
  return {
    severity: complaint.severity ?? "error",
    file,
    line: null,
    column: null,
    length: 1,
    path: complaint.path ?? "",
    message: complaint.message,
    hint: complaint.hint ?? "",
    text: "",
  };
}

/** How much of a long line is shown around the caret. */
const SHOWN_WIDTH = 120;

/** The line with its number and, beneath, carets under the culprit; long lines are cut to the part that matters. */
function excerpt(diagnostic: Diagnostic): string {
  if (diagnostic.line === null || diagnostic.column === null || diagnostic.text.trim() === "") return "";
  const number = String(diagnostic.line);
  let start = 0;
  if (diagnostic.text.length > SHOWN_WIDTH) {
    start = Math.max(0, Math.min(diagnostic.column - 1 - SHOWN_WIDTH / 2, diagnostic.text.length - SHOWN_WIDTH));
  }
  const end = Math.min(diagnostic.text.length, start + SHOWN_WIDTH);
  const before = start > 0 ? "…" : "";
  const shown = printable(`${before}${diagnostic.text.slice(start, end)}${end < diagnostic.text.length ? "…" : ""}`);
  // Tabs stay tabs so that the caret stands under its character whatever their width.
  const padding = `${before}${diagnostic.text.slice(start, diagnostic.column - 1)}`.replace(/[^\t]/g, " ");
  const carets = "^".repeat(Math.max(1, Math.min(diagnostic.length, end - diagnostic.column + 1)));
  return `\n  ${number} | ${shown}\n  ${" ".repeat(number.length)} | ${padding}${carets}`;
}

/** Control characters would let a file write to the terminal; each is shown as a dot. */
export function printable(text: string): string {
  return text.replace(/(?!\t)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "·");
}

/** `file:line:column  path: message; hint`, then the line with a caret. */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const place =
    diagnostic.line === null ? diagnostic.file : `${diagnostic.file}:${diagnostic.line}:${diagnostic.column}`;
  const severity = diagnostic.severity === "warning" ? "warning: " : "";
  const path = diagnostic.path === "" ? "" : `${diagnostic.path}: `;
  const hint = diagnostic.hint === "" ? "" : `; ${diagnostic.hint}`;
  return `${place}  ${severity}${printable(`${path}${diagnostic.message}${hint}`)}${excerpt(diagnostic)}`;
}

/** All diagnostics, one under the other. */
export function formatDiagnostics(diagnostics: readonly Diagnostic[]): string {
  return diagnostics.map(formatDiagnostic).join("\n");
}

/** Order of reading: by file as first met, then by position. */
export function sortDiagnostics(diagnostics: readonly Diagnostic[]): Diagnostic[] {
  const files = [...new Set(diagnostics.map((diagnostic) => diagnostic.file))];
  const unique = new Map<string, Diagnostic>();
  for (const diagnostic of diagnostics) {
    const key = `${diagnostic.file}:${diagnostic.line}:${diagnostic.column}:${diagnostic.message}`;
    if (!unique.has(key)) unique.set(key, diagnostic);
  }
  return [...unique.values()].sort(
    (a, b) =>
      files.indexOf(a.file) - files.indexOf(b.file) ||
      (a.line ?? 0) - (b.line ?? 0) ||
      (a.column ?? 0) - (b.column ?? 0),
  );
}

/** Thrown when a file cannot be used; its message is all diagnostics as text. */
export class SpecError extends Error {
  override readonly name = "SpecError";
  /** Errors, and warnings met on the way, in reading order. */
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    super(formatDiagnostics(diagnostics));
    this.diagnostics = diagnostics;
  }
}
