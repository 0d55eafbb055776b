// Dispatch of transpose (kernels/layout): tiles through workgroup memory where the innermost axes of both sides are long, else a
// walk over the output.
import { sizeOf } from "../../graph/shape.ts";
import {
  type Bound,
  type Emitter,
  type GpuLowering,
  part,
  read,
  rowRuns,
  spread,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import { required } from "../types.ts";
import type { TransposeAttributes } from "./op.ts";
import { type TransposedAxis, transposedAxes } from "./wasm.ts";

const TILE = 32;
const TILE_WORKGROUP = 256;
const WALK_WORKGROUP = 64;
/** Shorter axes waste most of a tile; the caches serve them well enough. */
const WORTH_TILES = 8;

export const lower: GpuLowering<TransposeAttributes> = ({ inputs, outputs, attributes: { permutation } }, emit) => {
  const x = required(inputs[0], "transpose input");
  const y = required(outputs[0], "transpose output");
  const axes = transposedAxes(x.shape, permutation);
  const total = sizeOf(x.shape);
  if (total === 0) return;
  const integer = x.dtype === "i32";
  const [outermost, ...others] = axes;
  // An outermost axis that stays is cut where tensors are larger than a binding.
  if (outermost !== undefined && outermost.source * outermost.size === total) {
    for (const { first, rows } of rowRuns(outermost.size, outermost.source, "f32", emit.device)) {
      const cut = (tensor: typeof x) => part(tensor, first * outermost.source, rows * outermost.source);
      move(cut(x), cut(y), [{ ...outermost, size: rows }, ...others], integer, emit);
    }
  } else move(x, y, axes, integer, emit);
};

function move(x: Bound, y: Bound, axes: readonly TransposedAxis[], integer: boolean, emit: Emitter): void {
  const inner = axes.at(-1);
  const other = axes.find((axis) => axis.source === 1);
  const tiled = inner && other && inner !== other && Math.min(inner.size, other.size) >= WORTH_TILES;
  if (!tiled) {
    walk(x, y, axes, integer, emit);
    return;
  }
  const batch = axes.filter((axis) => axis !== inner && axis !== other).reverse();
  const [tilesAcross, tilesDown] = [Math.ceil(inner.size / TILE), Math.ceil(other.size / TILE)];
  const uniforms: Record<string, number> = {
    ...{ across: inner.size, down: other.size, step_x: inner.source, step_y: other.target },
    ...{ tiles_across: tilesAcross, tiles_down: tilesDown },
  };
  for (const [k, axis] of batch.entries()) {
    uniforms[`size_${k}`] = axis.size;
    uniforms[`from_${k}`] = axis.source;
    uniforms[`to_${k}`] = axis.target;
  }
  emit.dispatch({
    kernel: "layout/transpose",
    constants: { TILE, WORKGROUP: TILE_WORKGROUP, AXES: batch.length, INTEGER: integer, VECTOR: 1 },
    uniforms,
    bindings: { x: read(x), y: write(y) },
    workgroups: spread(tilesAcross * tilesDown * sizeOf(batch.map(({ size }) => size))),
    reason: `tiles of ${TILE} × ${TILE}`,
  });
}

function walk(x: Bound, y: Bound, axes: readonly TransposedAxis[], integer: boolean, emit: Emitter): void {
  const walked = axes.length === 0 ? [{ size: 1, source: 1, target: 1 }] : [...axes].reverse();
  const [inner, ...outer] = walked;
  const side = inner?.source === 1 ? unitOf(inner.size, ...outer.map(({ source }) => source)) : 1;
  const uniforms: Record<string, number> = { count: sizeOf(walked.map(({ size }) => size)) / side };
  for (const [k, axis] of walked.entries()) {
    uniforms[`size_${k}`] = k === 0 ? axis.size / side : axis.size;
    uniforms[`stride_${k}`] = k === 0 ? axis.source : axis.source / side;
  }
  const dispatch = {
    kernel: "layout/permute",
    constants: { AXES: walked.length, WORKGROUP: WALK_WORKGROUP, INTEGER: integer },
    uniforms,
    bindings: { x: read(x), y: write(y) },
    workgroups: spread(Math.ceil((uniforms.count ?? 0) / WALK_WORKGROUP)),
    reason: side === 4 ? "the last axis stays: four elements a thread" : "an element a thread",
  };
  emit.dispatch(inUnits(dispatch, side, ["x", "y"]));
}
