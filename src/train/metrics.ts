// The record of a run: one JSON object a line, appended as the run goes. A line cut short by a kill is no loss: it is
// left out when read and cut off before the run goes on.
import type { Series } from "../plot/line-plot.ts";
import { linePlot } from "../plot/line-plot.ts";

/** One line of metrics.jsonl. Training steps and evaluations are separate records. */
export type MetricsRecord = TrainingRecord | EvaluationRecord;

/** After a training step. */
export interface TrainingRecord {
  kind: "train";
  /** Steps done, from 1. */
  step: number;
  /** Mean cross entropy over scored positions, in nats. */
  loss: number;
  learning_rate: number;
  /** Euclidean norm of all gradients, before clipping. */
  gradient_norm: number;
  /** Of models with experts: how unevenly they are used, 1 being evenly (Fedus et al. 2021), the mean over layers … */
  balance_loss?: number;
  /** … the mean of log²(Σ exp(logits)) of their routers … */
  z_loss?: number;
  /** … and the most tokens that any expert got, in units of the mean. */
  peak_load?: number;
  tokens_per_second: number;
  /** Seconds of training so far, over all sessions of the run. */
  seconds: number;
}

/** After an evaluation on held-out data. */
export interface EvaluationRecord {
  kind: "evaluation";
  step: number;
  loss: number;
  /** Loss in bits per byte of text, for text data. */
  bits_per_byte?: number;
  /** The same, reading the held-out text as one stream with the state carried along; at the end of a run. */
  streamed_bits_per_byte?: number;
  /** Share of scored positions that are right, for tasks. */
  accuracy?: number;
  seconds: number;
}

/** A line of metrics.jsonl that cannot be read. */
export class MetricsError extends Error {
  override readonly name = "MetricsError";
}

/** What a metrics.jsonl holds, and how many of its bytes are whole lines. */
export interface ParsedMetrics {
  records: MetricsRecord[];
  /** Records' own end in the text, in UTF-16 units, one for each: where to cut to go on after it. */
  ends: number[];
}

/**
 * Parses the text of a metrics.jsonl. A last line without its newline was cut short and is left out.
 * Throws {@link MetricsError} with file and line for any other line that is not a record.
 */
export function parseMetrics(text: string, file = "metrics.jsonl"): ParsedMetrics {
  const parsed: ParsedMetrics = { records: [], ends: [] };
  let start = 0;
  for (let line = 1; ; line++) {
    const end = text.indexOf("\n", start);
    if (end < 0) return parsed;
    const record = parseLine(text.slice(start, end));
    if (record === undefined) throw new MetricsError(`${file}:${line}: not a record of a run's metrics`);
    parsed.records.push(record);
    parsed.ends.push(end + 1);
    start = end + 1;
  }
}

function parseLine(line: string): MetricsRecord | undefined {
  try {
    const record = JSON.parse(line) as Partial<MetricsRecord> | null;
    const known = record?.kind === "train" || record?.kind === "evaluation";
    // JSON has no NaN or infinity: a loss that was one is written as null.
    const loss = record?.loss === null ? Number.NaN : record?.loss;
    if (known && Number.isSafeInteger(record.step) && typeof loss === "number")
      return { ...record, loss } as MetricsRecord;
  } catch {
    // Not JSON: said by the caller, who knows the line.
  }
  return undefined;
}

/** One record as a line with its newline. */
export function formatMetrics(record: MetricsRecord): string {
  return `${JSON.stringify(record)}\n`;
}

/** The loss curve of a run as SVG: raw and smoothed training loss, and evaluations. */
export function lossPlot(records: readonly MetricsRecord[], title: string, subtitle?: string): string {
  const training = records.filter((record) => record.kind === "train");
  const evaluations = records.filter((record) => record.kind === "evaluation");
  const raw = training.map(({ step, loss }) => [step, loss] as const);
  const series: Series[] = [
    { name: "training", points: raw, style: "faint", colour: 0 },
    { name: "training, smoothed", points: smooth(raw, Math.max(2, training.length / 50)), colour: 0 },
  ];
  if (evaluations.length > 0) {
    const points = evaluations.map(({ step, loss }) => [step, loss] as const);
    series.push({ name: "held-out", points, colour: 1, dots: points.length <= 40 });
  }
  return linePlot({ title, subtitle, xLabel: "step", yLabel: "loss (nats per token)", yScale: "log", series });
}

/**
 * An exponential moving average, unbiased at the start, along points; what is not finite is passed over.
 *
 * @param window number of points over which a value's weight falls to 1/e
 */
export function smooth(points: readonly (readonly [number, number])[], window: number): [number, number][] {
  const keep = Math.exp(-1 / window);
  let sum = 0;
  let weight = 0;
  return points
    .filter(([, value]) => Number.isFinite(value))
    .map(([at, value]) => {
      sum = keep * sum + (1 - keep) * value;
      weight = keep * weight + (1 - keep);
      return [at, sum / weight];
    });
}
