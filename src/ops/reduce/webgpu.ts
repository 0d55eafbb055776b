// Dispatch of reduce (kernels/reduce): one stage per run of adjacent reduced axes, the longest first; a run is cut into parts,
// and the parts reduced by a stage of their own, where there are too few results to fill a GPU.
import { sizeOf } from "../../graph/shape.ts";
import {
  type Bound,
  type Emitter,
  float,
  type GpuLowering,
  type GpuTensor,
  PART_ALIGNMENT,
  part,
  read,
  type Scratch,
  spread,
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
  /** Elements of the source in front of those that are reduced. */
  readonly skip?: number;
}

/** Reduces [outer, count, inner] to [outer, inner]. */
export function reduceStage(stage: Stage, emit: Emitter): void {
  if (stage.outer * stage.inner === 0) return;
  if (stage.inner === 1) reduceRows(stage, emit);
  else reduceColumns(stage, emit);
}

/** How results of parts are combined. */
const addition = (fn: ReduceAttributes["fn"]): ReduceAttributes["fn"] => (fn === "max" ? "max" : "sum");

function reduceColumns(stage: Stage, emit: Emitter): void {
  const { source, target, outer, count, inner, fn, factor = 1, first = 0, skip = 0 } = stage;
  const vector = unitOf(inner, skip);
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
      ...{ zero: 0, skip: skip / vector, first: parts === 1 ? first : 0, columns, count, parts, blocks },
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

function reduceRows(stage: Stage, emit: Emitter): void {
  const { source, target, outer, count, fn, factor = 1, first = 0, skip = 0 } = stage;
  const vector = unitOf(count, skip);
  const units = count / vector;
  const team = teamFor(units, emit.device);
  const parts = partsOf(Math.ceil((outer * team.TEAM) / team.WORKGROUP), units, team.TEAM);
  const results = parts === 1 ? target : emit.scratch(4 * outer * parts);
  const dispatch = {
    kernel: "reduce/rows",
    constants: { FN: codes[fn], ...team },
    uniforms: {
      ...{ zero: 0, skip: skip / vector, first: parts === 1 ? first : 0, count: units, parts },
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

/** One stage over a tensor that may be larger than a binding: cut along its outer axis, or each of its slices by rows. */
function reduceLarge(stage: Stage & { readonly source: GpuTensor | Scratch }, emit: Emitter): void {
  const { source, outer, count, inner, first = 0 } = stage;
  const bindable = Math.floor(emit.device.maxBinding / 4);
  if (outer * count * inner <= bindable) {
    reduceStage(stage, emit);
    return;
  }
  // Parts start at multiples of PART_ALIGNMENT; what lies before the elements in question is skipped.
  const most = bindable - PART_ALIGNMENT;
  const cut = (start: number, length: number) => {
    const skip = start % PART_ALIGNMENT;
    return { source: part(source, start - skip, skip + length), skip };
  };
  const slice = count * inner;
  const slices = Math.floor(most / slice);
  for (let at = 0; slices > 0 && at < outer; at += slices) {
    const run = Math.min(slices, outer - at);
    reduceStage({ ...stage, ...cut(at * slice, run * slice), outer: run, first: first + at }, emit);
  }
  if (slices > 0) return;
  const rows = inner === 1 ? most - (most % 4) : Math.floor(most / inner);
  const runs = Math.ceil(count / rows);
  for (let at = 0; at < outer; at++) {
    const results = emit.scratch(4 * runs * inner);
    for (let run = 0; run < runs; run++) {
      const length = Math.min(rows, count - run * rows);
      const some = cut(at * slice + run * rows * inner, length * inner);
      reduceStage({ ...stage, ...some, target: results, outer: 1, count: length, factor: 1, first: run }, emit);
    }
    const last = { ...stage, source: results, outer: 1, count: runs, fn: addition(stage.fn), first: first + at };
    reduceStage(last, emit);
  }
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
