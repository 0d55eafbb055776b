// Scales, ticks and the numbers written beside them.
import { type ScaleContinuousNumeric, scaleLinear, scaleLog } from "d3-scale";

/** Kind of axis; `log2` is for sizes and lengths that double. */
export type ScaleType = "linear" | "log" | "log2";

/** How numbers are written: plain, with k M G, in KiB MiB GiB, or as lengths with Ki-style K M (4096 is 4K). */
export type NumberFormat = "plain" | "metric" | "bytes" | "length";

export type Scale = ScaleContinuousNumeric<number, number>;

/** Beyond this, differences of values overflow. */
const LARGEST = 1e300;
/** Below this, steps between ticks underflow. */
const SMALLEST_STEP = 1e-290;

/** Whether a value has a place on such an axis. */
export function isPlottable(type: ScaleType, value: number): boolean {
  return Math.abs(value) <= LARGEST && (type === "linear" || value >= 1 / LARGEST);
}

/**
 * A scale over `values`, which {@link isPlottable}, widened to round numbers. A single value gets room on both sides.
 *
 * @param range pixels of the lower and the upper end
 */
export function makeScale(type: ScaleType, values: Iterable<number>, range: [number, number], count: number): Scale {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) [low, high] = [1, 2];
  // Values that differ in their last digits only are one value: ticks between them would all read the same.
  if (high - low <= 1e-6 * Math.max(Math.abs(low), Math.abs(high))) high = low;
  if (type === "linear") {
    if (high - low < SMALLEST_STEP) high = low;
    if (low === high)
      [low, high] = Math.abs(low) < SMALLEST_STEP ? [-1, 1] : [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
    return scaleLinear().domain([low, high]).nice(count).range(range);
  }
  if (low === high) [low, high] = [low / 2, high * 2];
  const scale = scaleLog().domain([low, high]).range(range);
  if (type === "log2") return scale.base(2).nice();
  // Widening to whole decades would waste half the plot on a narrow range: 1, 2 and 5 are round enough there.
  return high / low >= 100 ? scale.nice() : scale.domain([roundOnLog(low, "down"), roundOnLog(high, "up")]);
}

/** The nearest of …, 1, 2, 5, 10, 20, … on one side. */
function roundOnLog(value: number, side: "down" | "up"): number {
  const decade = 10 ** Math.floor(Math.log10(value) + 1e-9);
  const steps = [1, 2, 5, 10].map((step) => Number((step * decade).toPrecision(12)));
  return side === "down"
    ? (steps.findLast((step) => step <= value * (1 + 1e-9)) ?? decade)
    : (steps.find((step) => step >= value * (1 - 1e-9)) ?? 10 * decade);
}

/** About `count` ticks at round values. */
export function makeTicks(scale: Scale, type: ScaleType, count: number): number[] {
  const [low = 0, high = 1] = scale.domain();
  if (type === "linear") return scale.ticks(count);
  const base = type === "log2" ? 2 : 10;
  const log = (value: number) => Math.log(value) / Math.log(base);
  const first = Math.ceil(log(low) - 1e-9);
  const last = Math.floor(log(high) + 1e-9);
  const step = Math.max(1, Math.ceil((last - first) / Math.max(1, count)));
  const powers = Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => base ** (first + i * step));
  if (type === "log2" || last - first >= 2) return powers;
  const between = [1, 2, 5].flatMap((digit) => [first - 1, first, last].map((power) => digit * 10 ** power));
  const inside = between.filter((value) => value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9));
  return [...new Set(inside.map((value) => Number(value.toPrecision(6))))].sort((a, b) => a - b);
}

/** Light lines between the ticks of a decimal log scale: 2, 3, … 9 of each decade. */
export function minorTicks(scale: Scale, type: ScaleType): number[] {
  if (type !== "log") return [];
  const [low = 1, high = 10] = scale.domain();
  if (high / low > 1e5) return [];
  const first = Math.floor(Math.log10(low));
  const decades = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, i) => 10 ** (first + i));
  const all = decades.flatMap((decade) => [2, 3, 4, 5, 6, 7, 8, 9].map((digit) => digit * decade));
  return all.filter((value) => value > low && value < high);
}

const UNITS: Record<Exclude<NumberFormat, "plain">, { base: number; names: readonly string[] }> = {
  metric: { base: 1000, names: ["", "k", "M", "G", "T", "P"] },
  bytes: { base: 1024, names: [" B", " KiB", " MiB", " GiB", " TiB", " PiB"] },
  length: { base: 1024, names: ["", "K", "M", "G", "T", "P"] },
};

/** A number as written beside an axis. */
export function formatNumber(value: number, format: NumberFormat): string {
  if (value === 0) return format === "bytes" ? "0 B" : "0";
  const size = Math.abs(value);
  if (format === "plain") {
    if (size >= 1e6 || size < 1e-4) return exponential(value);
    return String(Number(value.toPrecision(6))).replace("-", "\u2212");
  }
  const { base, names } = UNITS[format];
  if (size < 1 && format === "metric") return formatNumber(value, "plain");
  // Lengths that are no multiple of 1024 are counted in thousands.
  if (format === "length" && size >= 1000 && value % 1024 !== 0) return formatNumber(value, "metric");
  let power = 0;
  while (size / base ** power >= base * (1 - 1e-9) && power < names.length - 1) power++;
  return `${Number((value / base ** power).toPrecision(3))}${names[power]}`.replace("-", "\u2212");
}

/** 2·10⁻⁵ */
function exponential(value: number): string {
  const [digits = "", power = ""] = Number(value.toPrecision(3)).toExponential().split("e");
  const raised = [...power.replace("+", "")]
    .map((digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]))
    .join("");
  return `${digits === "1" ? "" : `${digits}·`}10${raised}`.replace("-", "\u2212");
}
