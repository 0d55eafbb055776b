// Dispatch of reduce (kernels/reduce): one stage per run of adjacent reduced axes, the longest first; a run is cut into parts,
// and the parts reduced by a stage of their own, where there are too few results to fill a GPU.
import { sizeOf } from "../../graph/shape.ts";
import {
  type Bound,
  type Emitter,
  float,
  type GpuLowering,
  type GpuTensor,
  part,
  read,
  rowRuns,
  type Scratch,
  spread,
  storageBytes,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { powerOfTwo, teamFor, teamGrid, teamReason } from "../../runtime/webgpu/teams.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import { required } from "../types.ts";
import type { ReduceAttributes } from "./op.ts";
import { axisRuns } from "./wasm.ts";

/** Kernel numbers of the functions; a mean is a scaled sum. */
const codes: { readonly [K in ReduceAttributes["fn"]]: number } = { sum: 0, mean: 0, sum_squares: 1, max: 2 };
/** Workgroups that fill a large GPU. */
const ENOUGH_WORKGROUPS = 256;
/** Units that a thread should combine before another workgroup takes over. */
const UNITS_PER_THREAD = 16;
/** Neighbouring units of columns that a workgroup reads: 128 bytes. */
const COLUMNS_TOGETHER = { 1: 32, 4: 8 } as const;
const WORKGROUP = 256;

export interface Stage {
  readonly source: Bound;
  readonly target: Bound;
  readonly outer: number;
  readonly count: number;
  readonly inner: number;
  readonly fn: ReduceAttributes["fn"];
  /** Factor on the results; default 1. */
  readonly factor?: number;
  /** Results in front of this stage's in the target. */
  readonly first?: number;
}

/** Reduces [outer, count, inner] to [outer, inner]. */
export function reduceStage(stage: Stage, emit: Emitter): void {
  if (stage.outer * stage.inner === 0) return;
  if (stage.inner === 1) reduceRows(stage, emit);
  else reduceColumns(stage, emit);
}

const addition = (fn: ReduceAttributes["fn"]) => (fn === "max" ? "max" : "sum");

function reduceColumns({ source, target, outer, count, inner, fn, factor = 1, first = 0 }: Stage, emit: Emitter): void {
  const vector = unitOf(inner);
  const columns = inner / vector;
  const COLUMNS = Math.min(COLUMNS_TOGETHER[vector], powerOfTwo(columns));
  const SEGMENTS = Math.min(WORKGROUP / COLUMNS, powerOfTwo(count / 4));
  // Few rows: no more threads per column than have four rows each, and more columns instead.
  const wide = SEGMENTS * COLUMNS < 64 ? Math.min(64 / SEGMENTS, powerOfTwo(columns)) : COLUMNS;
  const blocks = Math.ceil(columns / wide);
  const parts = partsOf(outer * blocks, count, SEGMENTS);
  const results = parts === 1 ? target : emit.scratch(4 * outer * parts * inner);
  const dispatch = {
    kernel: "reduce/columns",
    constants: { FN: codes[fn], COLUMNS: wide, SEGMENTS, WORKGROUP: wide * SEGMENTS },
    uniforms: {
      ...{ zero: 0, first: parts === 1 ? first : 0, columns, count, parts, blocks },
      ...{ rows_each: Math.ceil(count / parts), slices: outer * parts, factor: float(parts === 1 ? factor : 1) },
    },
    bindings: { x: read(source), y: write(results) },
    workgroups: spread(outer * parts * blocks),
    reason: `${SEGMENTS} threads a column, ${wide} ${vector === 4 ? "vec4 " : ""}columns a workgroup${parts > 1 ? `, ${parts} parts` : ""}`,
  };
  emit.dispatch(inUnits(dispatch, vector, ["x", "y"]));
  if (parts > 1)
    reduceStage({ source: results, target, outer, count: parts, inner, fn: addition(fn), factor, first }, emit);
}

function reduceRows({ source, target, outer, count, fn, factor = 1, first = 0 }: Stage, emit: Emitter): void {
  const vector = unitOf(count);
  const units = count / vector;
  const team = teamFor(units, emit.device);
  const parts = partsOf(Math.ceil((outer * team.TEAM) / team.WORKGROUP), units, team.TEAM);
  const results = parts === 1 ? target : emit.scratch(4 * outer * parts);
  const dispatch = {
    kernel: "reduce/rows",
    constants: { FN: codes[fn], ...team },
    uniforms: {
      ...{ zero: 0, first: parts === 1 ? first : 0, count: units, parts },
      ...{ units_each: Math.ceil(units / parts), slices: outer * parts, factor: float(parts === 1 ? factor : 1) },
    },
    bindings: { x: read(source), y: write(results) },
    workgroups: teamGrid(outer * parts, team),
    reason: `${teamReason(team, vector)}${parts > 1 ? `, ${parts} parts` : ""}`,
  };
  emit.dispatch(inUnits(dispatch, vector, ["x"]));
  if (parts > 1)
    reduceStage({ source: results, target, outer, count: parts, inner: 1, fn: addition(fn), factor, first }, emit);
}

/** Into how many parts an axis of `count` is cut, where a workgroup takes `step` of it at a time. */
function partsOf(workgroups: number, count: number, step: number): number {
  const worthwhile = Math.floor(count / (step * UNITS_PER_THREAD));
  return Math.max(1, Math.min(Math.ceil(ENOUGH_WORKGROUPS / workgroups), worthwhile));
}

/** One stage over a tensor that may be larger than a binding. */
function reduceLarge(stage: Stage & { readonly source: GpuTensor | Scratch }, emit: Emitter): void {
  const { source, outer, count, inner } = stage;
  const storage = source.kind === "tensor" ? source.storage : "f32";
  if (storageBytes(storage, outer * count * inner) <= emit.device.maxBinding) {
    reduceStage(stage, emit);
    return;
  }
  if (outer > 1) {
    for (const run of rowRuns(outer, count * inner, storage, emit.device)) {
      const rows = part(source, run.first * count * inner, run.rows * count * inner);
      reduceStage({ ...stage, source: rows, outer: run.rows, first: run.first }, emit);
    }
    return;
  }
  const runs = rowRuns(count, inner, storage, emit.device);
  const results = emit.scratch(4 * runs.length * inner);
  for (const [i, run] of runs.entries()) {
    const rows = part(source, run.first * inner, run.rows * inner);
    reduceStage({ ...stage, source: rows, target: results, count: run.rows, factor: 1, first: i }, emit);
  }
  reduceStage({ ...stage, source: results, count: runs.length, fn: addition(stage.fn) }, emit);
}

export const lower: GpuLowering<ReduceAttributes> = ({ inputs, outputs, attributes: { fn, axes } }, emit) => {
  const x = required(inputs[0], "reduce input");
  const y = required(outputs[0], "reduce output");
  const scale = fn === "mean" ? sizeOf(y.shape) / sizeOf(x.shape) : 1;
  const runs = axisRuns(x.shape, axes);
  const reduced = runs.filter((run) => run.reduced).sort((a, b) => b.size - a.size);
  // Nothing to reduce is a reduction of axes of length 1.
  if (reduced.length === 0) reduced.push({ size: 1, reduced: true });
  let source: GpuTensor | Scratch = x;
  for (const [i, run] of reduced.entries()) {
    const position = runs.indexOf(run);
    const at = position < 0 ? 0 : position;
    const outer = sizeOf(runs.slice(0, at).map((r) => r.size));
    const inner = sizeOf(runs.slice(position < 0 ? 0 : at + 1).map((r) => r.size));
    const last = i === reduced.length - 1;
    const target: GpuTensor | Scratch = last ? y : emit.scratch(outer * inner * 4);
    const stageFn = i > 0 && fn === "sum_squares" ? "sum" : fn;
    reduceLarge({ source, target, outer, count: run.size, inner, fn: stageFn, factor: last ? scale : 1 }, emit);
    run.size = 1;
    source = target;
  }
};
