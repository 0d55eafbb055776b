// A text and where things are in it: offsets to lines and columns, and lines to show under an error.

/** A text with a name, as read; offsets count UTF-16 units from its start. */
export interface SourceText {
  /** Path or other name shown to the user. */
  readonly file: string;
  readonly text: string;
  /** Offset of the first unit of each line. */
  readonly lineStarts: readonly number[];
}

/** A stretch of a source, end exclusive. */
export interface Span {
  readonly source: SourceText;
  readonly start: number;
  readonly end: number;
}

/** Line and column, both from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Wraps a text so that positions in it can be named. LF, CRLF and CR end lines. */
export function sourceText(file: string, text: string): SourceText {
  const lineStarts = [0];
  const lineEnds = /\r\n|\n|\r/g;
  for (let match = lineEnds.exec(text); match !== null; match = lineEnds.exec(text)) {
    lineStarts.push(match.index + match[0].length);
  }
  return { file, text, lineStarts };
}

/** The line and column of an offset; offsets past the end are at the end. */
export function positionAt(source: SourceText, offset: number): Position {
  const target = Math.max(0, Math.min(offset, source.text.length));
  let low = 0;
  let high = source.lineStarts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((source.lineStarts[middle] ?? 0) <= target) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: target - (source.lineStarts[low] ?? 0) + 1 };
}

/** The text of a line (from 1) without its end. */
export function lineAt(source: SourceText, line: number): string {
  const start = source.lineStarts[line - 1] ?? source.text.length;
  const end = source.lineStarts[line] ?? source.text.length;
  return source.text.slice(start, end).replace(/[\r\n]+$/, "");
}
