// Pictures made of characters: boxes that data flows through from top to bottom. A drawing is a rectangle of text with one
// column, its port, where the line enters above and leaves below.

/** A rectangle of text. Every line has `width` characters. */
export interface Drawing {
  readonly lines: readonly string[];
  readonly width: number;
  /** Column where the line of data enters and leaves. */
  readonly port: number;
}

/** Colours a finished stretch of text; must not change its visible width. */
export type Paint = (text: string) => string;

const plain: Paint = (text) => text;

/** Columns that text takes up: one per code point, which is right for everything that specs print. */
export const widthOf = (text: string): number => [...text].length;

const spaces = (count: number): string => " ".repeat(Math.max(0, count));

const single = { corners: "┌┐└┘", horizontal: "─", vertical: "│", enter: "┴", leave: "┬" };
const double = { corners: "╔╗╚╝", horizontal: "═", vertical: "║", enter: "╧", leave: "╤" };

/** Breaks words into lines of at most `width` characters; longer words are cut. */
export function wrap(words: readonly string[], width: number, separator = ", "): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of words) {
    const cut = widthOf(word) > width ? `${[...word].slice(0, Math.max(1, width - 1)).join("")}…` : word;
    if (line === "") line = cut;
    else if (widthOf(line) + widthOf(separator) + widthOf(cut) <= width) line += separator + cut;
    else {
      lines.push(line);
      line = cut;
    }
  }
  return line === "" ? lines : [...lines, line];
}

/** Text in a frame; a double frame stands for shared weights. Lines are centred. */
export function box(
  lines: readonly string[],
  { isDouble = false, paint = plain }: { readonly isDouble?: boolean; readonly paint?: Paint } = {},
): Drawing {
  const inner = Math.max(...lines.map(widthOf)) + 2;
  const width = inner + 2;
  const port = width >> 1;
  const style = isDouble ? double : single;
  const [topLeft = "", topRight = "", bottomLeft = "", bottomRight = ""] = style.corners;
  const edge = (left: string, middle: string, right: string): string =>
    paint(left + style.horizontal.repeat(port - 1) + middle + style.horizontal.repeat(inner - port) + right);
  const text = lines.map((line) => {
    const before = (inner - widthOf(line)) >> 1;
    const padded = `${spaces(before)}${line}${spaces(inner - widthOf(line) - before)}`;
    return `${paint(style.vertical)}${padded}${paint(style.vertical)}`;
  });
  return {
    lines: [edge(topLeft, style.enter, topRight), ...text, edge(bottomLeft, style.leave, bottomRight)],
    width,
    port,
  };
}

/** A line that ends the stack: the name of what goes in or comes out. */
export function label(text: string): Drawing {
  const width = widthOf(text);
  return { lines: [text], width, port: width >> 1 };
}

function placed(drawing: Drawing, port: number, width: number): string[] {
  const before = port - drawing.port;
  return drawing.lines.map((line) => spaces(before) + line + spaces(width - before - drawing.width));
}

/** One below the other, ports in one column, joined by a line. */
export function below(drawings: readonly Drawing[], { joined = true } = {}): Drawing {
  const port = Math.max(...drawings.map((drawing) => drawing.port));
  const width = port + Math.max(...drawings.map((drawing) => drawing.width - drawing.port));
  const lines: string[] = [];
  for (const [i, drawing] of drawings.entries()) {
    if (i > 0 && joined) lines.push(`${spaces(port)}│${spaces(width - port - 1)}`);
    lines.push(...placed(drawing, port, width));
  }
  return { lines, width, port };
}

/** Side by side: the line splits above and joins below, where `joint` says how (+). */
export function beside(drawings: readonly Drawing[], joint = "+"): Drawing {
  const gap = 2;
  const height = Math.max(...drawings.map((drawing) => drawing.lines.length));
  const columns: string[][] = [];
  const ports: number[] = [];
  let width = 0;
  for (const [i, drawing] of drawings.entries()) {
    if (i > 0) width += gap;
    ports.push(width + drawing.port);
    const fill = `${spaces(drawing.port)}│${spaces(drawing.width - drawing.port - 1)}`;
    columns.push([...drawing.lines, ...new Array<string>(height - drawing.lines.length).fill(fill)]);
    width += drawing.width;
  }
  const [left, right] = [ports[0] ?? 0, ports.at(-1) ?? 0];
  const port = (left + right) >> 1;
  const rail = (ends: string, tee: string, through: string): string => {
    const at = (column: number): string => {
      if (column < left || column > right) return " ";
      if (column === port) return through;
      if (column === left) return ends[0] ?? "";
      if (column === right) return ends[1] ?? "";
      return ports.includes(column) ? tee : "─";
    };
    return Array.from({ length: width }, (_, column) => at(column)).join("");
  };
  const rows = Array.from({ length: height }, (_, row) => columns.map((column) => column[row] ?? "").join(spaces(gap)));
  return { lines: [rail("┌┐", "┬", "┴"), ...rows, rail("└┘", "┴", joint)], width, port };
}

/** A dashed frame around what is repeated, with a label on its upper edge. */
export function frame(drawing: Drawing, text: string, paint: Paint = plain): Drawing {
  const width = Math.max(drawing.width + 4, drawing.port + widthOf(text) + 6);
  const port = drawing.port + 2;
  const edge = (left: string, after: string, right: string): string => {
    const room = width - port - 2 - widthOf(after);
    return `${paint(left + "╌".repeat(port - 1))}│${paint("╌".repeat(room) + after + right)}`;
  };
  const lines = drawing.lines.map((line) => `${paint("╎")} ${line}${spaces(width - 3 - drawing.width)}${paint("╎")}`);
  return { lines: [edge("┌", ` ${text} `, "┐"), ...lines, edge("└", "", "┘")], width, port };
}
