// Launch of reduce (kernels/reduce): one launch per run of adjacent reduced axes, the longest first; an axis is cut into
// parts where there are too few results to keep all threads busy, or so many rows that a plain f32 sum would lose digits.
import { sizeOf } from "../../graph/shape.ts";
import { float, type WasmLowering, type WasmTensor } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { ReduceAttributes } from "./op.ts";

/** Kernel numbers of the functions; a mean is a scaled sum. */
const codes: { readonly [K in ReduceAttributes["fn"]]: number } = { sum: 0, mean: 0, sum_squares: 1, max: 2 };
/** Rows summed one after the other in f32. */
const ROWS_PER_PART = 1024;
/** Fewer elements than this are not worth cutting up. */
const WORTH_SPLITTING = 8192;

/** Adjacent axes of one kind as one: sizes of alternating kept and reduced runs. */
export function axisRuns(
  shape: readonly number[],
  axes: readonly number[],
): { size: number; readonly reduced: boolean }[] {
  const runs: { size: number; readonly reduced: boolean }[] = [];
  for (const [axis, size] of shape.entries()) {
    if (size === 1) continue;
    const reduced = axes.includes(axis);
    const last = runs.at(-1);
    if (last !== undefined && last.reduced === reduced) last.size *= size;
    else runs.push({ size, reduced });
  }
  return runs;
}

function partsOf(outer: number, count: number, inner: number, threads: number): number {
  if (outer * count * inner < WORTH_SPLITTING || outer >= 4 * threads) return 1;
  const rows = inner === 1 ? Number.POSITIVE_INFINITY : ROWS_PER_PART;
  return Math.min(count, threads * Math.ceil(count / (threads * rows)) || threads);
}

export const lower: WasmLowering<ReduceAttributes> = ({ inputs, outputs, attributes: { fn, axes } }, emit) => {
  const x = required(inputs[0], "reduce input");
  const y = required(outputs[0], "reduce output");
  const scale = fn === "mean" ? sizeOf(y.shape) / sizeOf(x.shape) : 1;
  const runs = axisRuns(x.shape, axes);
  const reduced = runs.filter((run) => run.reduced).sort((a, b) => b.size - a.size);
  // Nothing to reduce is a reduction of axes of length 1.
  if (reduced.length === 0) reduced.push({ size: 1, reduced: true });
  let source: WasmTensor | ReturnType<typeof emit.scratch> = x;
  for (const [stage, run] of reduced.entries()) {
    const position = runs.indexOf(run);
    const at = position < 0 ? runs.length : position;
    const outer = sizeOf(runs.slice(0, at).map((r) => r.size));
    const inner = sizeOf(runs.slice(at + 1).map((r) => r.size));
    const last = stage === reduced.length - 1;
    const code = stage > 0 && fn === "sum_squares" ? codes.sum : codes[fn];
    const factor = float(last ? scale : 1);
    const target = last ? y : emit.scratch(outer * inner * 4);
    const parts = partsOf(outer, run.size, inner, emit.threads);
    const results = parts === 1 ? target : emit.scratch(parts * outer * inner * 4);
    emit.command("reduce", [source, results, outer, run.size, inner, parts, code, factor]);
    if (parts > 1) {
      if (fn === "max") emit.command("reduce", [results, target, 1, parts, outer * inner, 1, code, float(1)]);
      else emit.command("sum_partials", [results, target, parts, outer * inner]);
    }
    run.size = 1;
    source = target;
  }
};
