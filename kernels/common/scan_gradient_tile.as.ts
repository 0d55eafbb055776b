// What selective_scan_gradient prepares for a tile of tokens and a block of channels before it walks over the states.
import { pointer, integer } from "./args.as";
import { boundBits } from "./decay.as";
import { loadLanes } from "./lanes.as";
import { expNonPositive, log1pUnit, sigmoid, siluGradient } from "./math.as";
import { TILE } from "./scan_tile.as";

// A tile holds, for every group of four channels, TILE rows of these vectors.
export const ROW: usize = 112;
export const GROUP: usize = TILE * ROW;
export const SCALED: usize = 0; // Δ·log2 e
export const DRIVE: usize = 16; // Δ·u
export const OUTER: usize = 32; // e = dy·silu(z)
export const STEP: usize = 48; // Δ
export const SLOPE: usize = 64; // dΔ/ddelta
export const INPUT: usize = 80; // u
export const GATE: usize = 96; // dy·silu'(z)

/**
 * Fills the tile for the `width` channels from byte `at` of the first token on, given the arguments of
 * selective_scan_gradient; leaves bounds of Δ·log2 e.
 */
export function prepareGradient(args: usize, tile: usize, bounds: usize, at: i32, d: i32, stride: i32, count: i32, width: i32): void {
  const bias0 = pointer(args, 7);
  let c = 0;
  if (pointer(args, 6) && pointer(args, 9) && integer(args, 28) != 0) {
    for (; c + 8 <= width; c += 8) {
      const o = at + (c << 2);
      const bias = bias0 ? bias0 + ((d + c) << 2) : 0;
      prepareGated(pointer(args, 1) + o, pointer(args, 0) + o, pointer(args, 6) + o, pointer(args, 9) + o, bias, stride, tile + (c >> 2) * GROUP, bounds + (c << 2), count);
    }
  }
  for (; c < width; c += 4) {
    const lanes = min(4, width - c);
    const bias = bias0 ? loadLanes(bias0 + ((d + c) << 2), lanes) : f32x4.splat(0);
    const offset = at + (c << 2);
    const delta = pointer(args, 1) + offset;
    const u = pointer(args, 0) + offset;
    const z = pointer(args, 6) ? pointer(args, 6) + offset : 0;
    const dy = pointer(args, 9) ? pointer(args, 9) + offset : 0;
    const group = tile + (c >> 2) * GROUP;
    prepareAny(delta, u, z, dy, bias, stride, group, bounds + (c << 2), count, lanes, integer(args, 28) != 0);
  }
}

/** The usual case, softplus and gate, for two groups at once: they share the constants and overlap in the pipeline. */
function prepareGated(delta: usize, u: usize, z: usize, dy: usize, bias: usize, stride: i32, row: usize, bounds: usize, count: i32): void {
  const bias0 = bias ? v128.load(bias) : f32x4.splat(0);
  const bias1 = bias ? v128.load(bias, 16) : f32x4.splat(0);
  let bound0 = i32x4.splat(0);
  let bound1 = i32x4.splat(0);
  for (let t = 0; t < count; t++) {
    bound0 = fill(row, v128.load(delta), v128.load(u), v128.load(z), v128.load(dy), bias0, true, true, bound0);
    bound1 = fill(row + GROUP, v128.load(delta, 16), v128.load(u, 16), v128.load(z, 16), v128.load(dy, 16), bias1, true, true, bound1);
    row += ROW;
    delta += stride;
    u += stride;
    z += stride;
    dy += stride;
  }
  v128.store(bounds, bound0);
  v128.store(bounds, bound1, 16);
}

function prepareAny(delta: usize, u: usize, z: usize, dy: usize, bias: v128, stride: i32, row: usize, bounds: usize, count: i32, lanes: i32, viaSoftplus: bool): void {
  let bound = i32x4.splat(0);
  for (let t = 0; t < count; t++) {
    const offset = t * stride;
    const gate = z ? loadLanes(z + offset, lanes) : f32x4.splat(0);
    const upstream = dy ? loadLanes(dy + offset, lanes) : f32x4.splat(0);
    bound = fill(row, loadLanes(delta + offset, lanes), loadLanes(u + offset, lanes), gate, upstream, bias, viaSoftplus, z != 0, bound);
    row += ROW;
  }
  v128.store(bounds, bound);
}

/** One row of four channels; returns the bound with its Δ·log2 e. */
// @ts-ignore: decorator
@inline
function fill(row: usize, delta: v128, u: v128, z: v128, dy: v128, bias: v128, viaSoftplus: bool, gated: bool, bound: v128): v128 {
  const x = f32x4.add(delta, bias);
  let step = x;
  let slope = f32x4.splat(1);
  if (viaSoftplus) {
    const e = expNonPositive(f32x4.neg(f32x4.abs(x)));
    step = f32x4.add(log1pUnit(e), f32x4.pmax(f32x4.splat(0), x));
    const numerator = v128.bitselect(e, f32x4.splat(1), f32x4.lt(x, f32x4.splat(0)));
    slope = f32x4.div(numerator, f32x4.add(e, f32x4.splat(1)));
  }
  let outer = dy;
  let gate = dy;
  if (gated) {
    const s = sigmoid(z);
    outer = f32x4.mul(dy, f32x4.mul(z, s));
    gate = f32x4.mul(dy, siluGradient(z, s));
  }
  const scaled = f32x4.mul(step, f32x4.splat(1.44269504088896340736));
  v128.store(row, scaled, SCALED);
  v128.store(row, f32x4.mul(step, u), DRIVE);
  v128.store(row, outer, OUTER);
  v128.store(row, step, STEP);
  v128.store(row, slope, SLOPE);
  v128.store(row, u, INPUT);
  v128.store(row, gate, GATE);
  return boundBits(bound, scaled);
}
