// Tables for the terminal: no lines but one beneath the header, numbers to the right.
import Table from "cli-table3";
import picocolors from "picocolors";

const NONE = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
};
const LINES = { left: "", "left-mid": "", mid: "", "mid-mid": "", right: "", "right-mid": "", middle: "  " };

/** Rows of text; the columns numbered in `left` are aligned to the left, all others to the right. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  left: readonly number[] = [0],
): string {
  const table = new Table({
    head: header.map((cell) => picocolors.dim(cell)),
    chars: { ...NONE, ...LINES },
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
    colAligns: header.map((_, i) => (left.includes(i) ? "left" : "right")),
  });
  table.push(...rows.map((row) => [...row]));
  return table
    .toString()
    .split("\n")
    .map((line) => `  ${line.trimEnd()}`)
    .join("\n");
}

/** Columns that output may take: those of the terminal, 80 where there is none. */
export function terminalWidth(): number {
  return Math.max(40, process.stdout.columns ?? 80);
}
