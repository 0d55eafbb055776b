// Line plots as self-contained SVG text: no script, no fonts to load, readable on a light and on a dark page.
import { curveLinear, line } from "d3-shape";
import {
  formatNumber,
  isPlottable,
  makeScale,
  makeTicks,
  minorTicks,
  type NumberFormat,
  type Scale,
  type ScaleType,
} from "./ticks.ts";

/** One line. */
export interface Series {
  name: string;
  /** [x, y] in order of x. What has no place on the axes (NaN, or 0 on a log axis) leaves a gap. */
  points: readonly (readonly [number, number])[];
  /** `main` by default; `faint` for a backdrop such as raw values behind a smoothed line; `dashed` for a reference. */
  style?: "main" | "faint" | "dashed";
  /** Index of the colour; by default each series has the next one. Series that belong together can share one. */
  colour?: number;
  /** Draw a dot at each point, too: for few points. */
  dots?: boolean;
}

/** What to plot. */
export interface LinePlot {
  title: string;
  /** A line beneath the title. */
  subtitle?: string;
  xLabel: string;
  yLabel: string;
  series: readonly Series[];
  xScale?: ScaleType;
  yScale?: ScaleType;
  xFormat?: NumberFormat;
  yFormat?: NumberFormat;
  /** Include y = 0 on a linear axis. */
  yFromZero?: boolean;
  /** Pixels; 720 by 400 by default. */
  width?: number;
  height?: number;
}

// Okabe and Ito's colours, which the colour-blind can tell apart; darkened or lightened where a page needs contrast.
const LIGHT = ["#0068a8", "#c44e00", "#00825f", "#a3508b", "#8a6d00", "#4d4d4d", "#2f9fd6", "#9e2a2b"];
const DARK = ["#56b4e9", "#f0913c", "#2fc49a", "#dd8fc0", "#e3c53c", "#c0c0c0", "#8fd0f5", "#f07b7c"];

const STYLE = `
.hy-plot{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;color-scheme:light dark}
.hy-plot text{fill:#24292f}.hy-plot .hy-title{font-size:15px;font-weight:600}.hy-plot .hy-quiet{fill:#57606a}
.hy-plot .hy-paper{fill:#ffffff}.hy-plot .hy-grid{stroke:#d9dee3;stroke-width:1}.hy-plot .hy-minor{stroke:#eff1f3;stroke-width:1}
.hy-plot .hy-axis{stroke:#8c959f;stroke-width:1}.hy-plot path{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.hy-plot path.hy-faint{stroke-width:1;stroke-opacity:.35}.hy-plot path.hy-dashed{stroke-dasharray:6 5}
${LIGHT.map((colour, i) => `.hy-plot .hy-c${i}{stroke:${colour}}.hy-plot circle.hy-c${i}{fill:${colour}}`).join("")}
@media (prefers-color-scheme:dark){.hy-plot text{fill:#e6edf3}.hy-plot .hy-quiet{fill:#9aa4ae}.hy-plot .hy-paper{fill:#0d1117}
.hy-plot .hy-grid{stroke:#2b323b}.hy-plot .hy-minor{stroke:#1b2129}.hy-plot .hy-axis{stroke:#6b7681}
${DARK.map((colour, i) => `.hy-plot .hy-c${i}{stroke:${colour}}.hy-plot circle.hy-c${i}{fill:${colour}}`).join("")}}`;

/** Columns of points kept per series: more than a screen shows. */
const MAX_COLUMNS = 1000;
/** Rough width of a character of the 12 px font, for laying out without measuring. */
const CHARACTER = 6.6;

/** Draws lines with axes, grid, ticks and legend. Returns one `<svg>` element, which is also a valid file. */
export function linePlot(plot: LinePlot): string {
  const { xScale: xType = "linear", yScale: yType = "linear", xFormat = "metric", yFormat = "plain" } = plot;
  const width = plot.width ?? 720;
  const height = plot.height ?? 400;
  const series = plot.series.map((one, index) => ({
    ...one,
    colour: (one.colour ?? index) % LIGHT.length,
    points: one.points.map(([x, y]) =>
      isPlottable(xType, x) && isPlottable(yType, y) ? ([x, y] as const) : undefined,
    ),
  }));
  const all = series.flatMap(({ points }) => points.filter((point) => point !== undefined));
  const ys = all.map(([, y]) => y);
  if (plot.yFromZero && yType === "linear") ys.push(0);

  const legend = layOutLegend(series, width - 40);
  const top = 16 + 18 + (plot.subtitle ? 18 : 0) + legend.rows * 18 + 16;
  const bottom = height - 46;
  const yCount = Math.max(2, Math.round((bottom - top) / 50));
  const y = makeScale(yType, ys, [bottom, top], yCount);
  const yTicks = all.length === 0 ? [] : makeTicks(y, yType, yCount);
  const yTexts = yTicks.map((tick) => formatNumber(tick, yFormat));
  const left = 16 + 20 + Math.ceil(CHARACTER * Math.max(...yTexts.map((text) => text.length), 1)) + 8;
  const right = width - 32;
  const xCount = Math.max(2, Math.round((right - left) / 90));
  const x = makeScale(
    xType,
    all.map(([at]) => at),
    [left, right],
    xCount,
  );
  const xTicks = all.length === 0 ? [] : makeTicks(x, xType, xCount);

  const parts: string[] = [];
  const text = (at: [number, number], content: string, attributes = "") =>
    parts.push(
      `<text x="${round(at[0])}" y="${round(at[1])}"${attributes && ` ${attributes}`}>${escapeXml(content)}</text>`,
    );
  const stroke = (name: string, d: string) => d && parts.push(`<path class="${name}" d="${d}"/>`);

  parts.push(`<rect class="hy-paper" width="${width}" height="${height}" rx="6"/>`);
  text([16, 28], plot.title, 'class="hy-title"');
  if (plot.subtitle) text([16, 46], plot.subtitle, 'class="hy-quiet"');
  parts.push(...legend.items.map((item) => item(16 + 18 + (plot.subtitle ? 18 : 0))));

  const across = (values: number[]) => values.map((value) => `M${left} ${round(y(value))}H${right}`).join("");
  const down = (values: number[]) => values.map((value) => `M${round(x(value))} ${top}V${bottom}`).join("");
  if (all.length > 0) stroke("hy-minor", across(minorTicks(y, yType)) + down(minorTicks(x, xType)));
  stroke("hy-grid", across(yTicks) + down(xTicks));
  stroke("hy-axis", `M${left} ${top}V${bottom}H${right}`);
  for (const [i, tick] of yTicks.entries()) text([left - 8, y(tick) + 4], yTexts[i] ?? "", 'text-anchor="end"');
  for (const tick of xTicks) text([x(tick), bottom + 18], formatNumber(tick, xFormat), 'text-anchor="middle"');
  text([(left + right) / 2, height - 10], plot.xLabel, 'text-anchor="middle" class="hy-quiet"');
  const middle = round((top + bottom) / 2);
  text([20, middle], plot.yLabel, `text-anchor="middle" class="hy-quiet" transform="rotate(-90 20 ${middle})"`);

  if (all.length === 0) text([(left + right) / 2, middle], "no data", 'text-anchor="middle" class="hy-quiet"');
  // Faint lines lie beneath the others.
  const order = [...series].sort((a, b) => Number(b.style === "faint") - Number(a.style === "faint"));
  for (const one of order) parts.push(drawSeries(one, x, y));

  return (
    `<svg xmlns="http://www.w3.org/2000/svg" class="hy-plot" role="img" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">` +
    `<title>${escapeXml(plot.title)}</title><style>${STYLE}</style>${parts.join("\n")}</svg>\n`
  );
}

type Point = readonly [number, number] | undefined;
type PlacedSeries = Omit<Series, "points" | "colour"> & { colour: number; points: readonly Point[] };

function drawSeries({ points, colour, style = "main", dots = false }: PlacedSeries, x: Scale, y: Scale): string {
  const placed = thin(points.map((point) => point && ([x(point[0]), y(point[1])] as const)));
  const d = line<Point>()
    .defined((point) => point !== undefined)
    .x((point) => round(point?.[0] ?? 0))
    .y((point) => round(point?.[1] ?? 0))
    .curve(curveLinear)(placed);
  const path = d === null ? "" : `<path class="hy-c${colour} hy-${style}" d="${d}"/>`;
  // A line of one point would not be seen.
  const marked = dots || placed.length === 1 ? placed : [];
  const circles = marked.flatMap((point) =>
    point === undefined
      ? []
      : [`<circle class="hy-c${colour}" cx="${round(point[0])}" cy="${round(point[1])}" r="2.6"/>`],
  );
  return path + circles.join("");
}

/**
 * At most four points for each of {@link MAX_COLUMNS} columns (first, lowest, highest, last), which draws the same
 * picture as all of them.
 */
function thin(points: readonly Point[]): readonly Point[] {
  if (points.length <= 4 * MAX_COLUMNS) return points;
  const size = points.length / MAX_COLUMNS;
  const kept = new Set<number>();
  for (let column = 0; column < MAX_COLUMNS; column++) {
    const first = Math.floor(column * size);
    const end = Math.floor((column + 1) * size);
    let lowest = first;
    let highest = first;
    for (let i = first; i < end; i++) {
      const value = points[i]?.[1];
      if (value === undefined) kept.add(i);
      else if (value < (points[lowest]?.[1] ?? Number.POSITIVE_INFINITY)) lowest = i;
      else if (value > (points[highest]?.[1] ?? Number.NEGATIVE_INFINITY)) highest = i;
    }
    for (const i of [first, lowest, highest, end - 1]) kept.add(i);
  }
  return [...kept].sort((a, b) => a - b).map((i) => points[i]);
}

/** Places of legend entries, row after row; a single unnamed series needs none. */
function layOutLegend(series: readonly PlacedSeries[], width: number) {
  const named = series.filter(({ name }) => name !== "");
  const items: ((top: number) => string)[] = [];
  let row = 0;
  let offset = 0;
  for (const { name, colour, style = "main" } of named) {
    const needed = 30 + Math.ceil(CHARACTER * name.length) + 18;
    if (offset > 0 && offset + needed > width) {
      row++;
      offset = 0;
    }
    const [x, line] = [16 + offset, row];
    items.push((top) => {
      const y = top + 18 * line + 12;
      return `<path class="hy-c${colour} hy-${style}" d="M${x} ${y}h22"/><text x="${x + 28}" y="${y + 4}">${escapeXml(name)}</text>`;
    });
    offset += needed;
  }
  return { items, rows: items.length === 0 ? 0 : row + 1 };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Text that can stand in XML: markup escaped, characters that XML forbids replaced. */
export function escapeXml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text
    .replace(/[&<>"]/g, (character) => entities[character] ?? character)
    .replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, "\u{FFFD}");
}
