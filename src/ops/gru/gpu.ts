// How gru and its gradient share out their work on the GPU: a workgroup per few rows that walks through time, or a dispatch per token.
import {
  type DeviceFacts,
  type Emitter,
  type GpuTensor,
  part,
  rowRuns,
  type Scratch,
} from "../../runtime/webgpu/lowering.ts";

const WORKGROUP = 256;
/** Weights of this many bytes are better read by the whole device once per token than by one workgroup at a time. */
const LARGE_WEIGHTS = 1 << 20;
/** So few tokens are not worth preparing the weights. */
const FEW_TOKENS = 4;
/** Most tokens that get a dispatch each. */
const MOST_STEPS = 4096;
/** Bytes of workgroup memory that there are everywhere. */
const MEMORY = 16384;

/** Rows that share every weight that is read. */
const rowsTogether = (batch: number, most: number): number => Math.min(most, batch >= 64 ? 4 : batch >= 32 ? 2 : 1);

export interface Walk {
  readonly constants: Readonly<Record<string, number>>;
  readonly rows: number;
}

/**
 * A walk through time for states of `hidden` units, sums of `depth` products each, `floatsPerUnit` floats of workgroup memory per row
 * and unit and `floatsPerThread` per row and thread; undefined where the state does not fit.
 */
export function walkOf(
  batch: number,
  hidden: number,
  depth: number,
  floatsPerUnit: number,
  floatsPerThread: number,
): Walk | undefined {
  const units = Math.min(WORKGROUP, 2 ** Math.ceil(Math.log2(hidden)));
  const lanes = WORKGROUP / units;
  const bytes = 4 * (floatsPerUnit * hidden + (lanes > 1 ? floatsPerThread * WORKGROUP : 0));
  const most = Math.floor(MEMORY / bytes);
  if (most < 1) return undefined;
  const rows = rowsTogether(batch, most);
  const constants = {
    ...{ HIDDEN: hidden, WORKGROUP, UNITS: units, LANES: lanes, DEPTH: Math.ceil(depth / lanes), ROWS: rows },
    PADDED_UNITS: units * Math.ceil(hidden / units),
  };
  return { constants, rows };
}

/** The walk, or undefined where a dispatch per token is (or was measured to be) better. */
export function chooseWalk(
  walk: Walk | undefined,
  sizes: { readonly batch: number; readonly tokens: number; readonly hidden: number },
  emit: Emitter,
): Walk | undefined {
  const { batch, tokens, hidden } = sizes;
  if (walk === undefined || tokens <= FEW_TOKENS) return undefined;
  if (tokens > MOST_STEPS) return walk;
  const large = 12 * hidden * hidden > LARGE_WEIGHTS;
  const choice = emit.tuned(`${batch} × ${tokens} × ${hidden}`, large ? ["steps", "walk"] : ["walk", "steps"]);
  return choice === "steps" ? undefined : walk;
}

/** Rows that a step takes together. */
export const rowsOfStep = (batch: number, most: number): number => Math.min(most, batch >= 4 ? 4 : batch >= 2 ? 2 : 1);

/** Runs of batch rows that fit in bindings, and a tensor's part with those rows. */
export function batchParts(batch: number, widest: number, device: DeviceFacts) {
  return rowRuns(batch, widest, "f32", device).map(({ first, rows }) => ({
    rows,
    cut: (tensor: GpuTensor | Scratch | undefined, width: number) =>
      tensor && (rows === batch ? tensor : part(tensor, first * width, rows * width)),
  }));
}
