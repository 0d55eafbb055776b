// rms_norm, backward: dy [rows, channels] -> dx, dgate [rows, channels] and per-thread partial sums of dweight
// [threads, channels], to be added in order by sum_partials. Threads share the rows; nothing but x is kept from the
// forward pass: the mean square is recomputed while the row sits in L1.
import { integer, optional, pointer, scalar, shareStart } from "../common/args.as";
import { gateValues } from "../common/gate.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { dotRow } from "../common/rows.as";
import { fma, fnma } from "../common/simd.as";

/** scale * (weight + plus), or scale without a weight. */
// @ts-ignore: decorator
@inline
function weightAt(weight: usize, scale: v128, plus: v128, lanes: i32): v128 {
  return weight ? f32x4.mul(scale, f32x4.add(loadLanes(weight, lanes), plus)) : scale;
}

/** e = d loss / d n(u) = dy * w, times the gate's `value` where it comes after the norm; before it, u = x * value. */
// @ts-ignore: decorator
@inline
function prepare(
  x: usize, weight: usize, value: usize, dy: usize, u: usize, e: usize, scale: v128, plus: v128, after: i32, lanes: i32,
): void {
  let upstream = f32x4.mul(loadLanes(dy, lanes), weightAt(weight, scale, plus, lanes));
  if (value) {
    const a = loadLanes(value, lanes);
    if (after) upstream = f32x4.mul(upstream, a);
    else storeLanes(u, f32x4.mul(loadLanes(x, lanes), a), lanes);
  }
  storeLanes(e, upstream, lanes);
}

/** du = inverse * e - k * u; dx = du (+ dsum), dweight += dy * scale * n(u). */
// @ts-ignore: decorator
@inline
function finish(
  dy: usize, dsum: usize, u: usize, e: usize, dx: usize, dweight: usize,
  inverse: v128, k: v128, scale: v128, lanes: i32,
): void {
  const value = loadLanes(u, lanes);
  const n = f32x4.mul(value, inverse);
  const du = fnma(k, value, f32x4.mul(inverse, loadLanes(e, lanes)));
  if (dweight) {
    storeLanes(dweight, fma(f32x4.mul(loadLanes(dy, lanes), scale), n, loadLanes(dweight, lanes)), lanes);
  }
  if (dx) storeLanes(dx, dsum ? f32x4.add(du, loadLanes(dsum, lanes)) : du, lanes);
}

/** The same through a gate with these values and slopes, and dgate. */
// @ts-ignore: decorator
@inline
function finishGated(
  x: usize, weight: usize, value: usize, slope: usize, dy: usize, dsum: usize, u: usize, e: usize,
  dx: usize, dweight: usize, dgate: usize,
  inverse: v128, k: v128, scale: v128, plus: v128, after: i32, lanes: i32,
): void {
  const row = loadLanes(u, lanes);
  const n = f32x4.mul(row, inverse);
  const upstream = loadLanes(dy, lanes);
  const a = loadLanes(value, lanes);
  let du = fnma(k, row, f32x4.mul(inverse, loadLanes(e, lanes)));
  let weighted = f32x4.mul(f32x4.mul(upstream, scale), n);
  let da: v128;
  if (after) {
    da = f32x4.mul(f32x4.mul(upstream, weightAt(weight, scale, plus, lanes)), n);
    weighted = f32x4.mul(weighted, a);
  } else {
    da = f32x4.mul(du, loadLanes(x, lanes));
    du = f32x4.mul(du, a);
  }
  if (dgate) storeLanes(dgate, f32x4.mul(da, loadLanes(slope, lanes)), lanes);
  if (dweight) storeLanes(dweight, f32x4.add(loadLanes(dweight, lanes), weighted), lanes);
  if (dx) storeLanes(dx, dsum ? f32x4.add(du, loadLanes(dsum, lanes)) : du, lanes);
}

/**
 * args: [x, weight?, gate?, dy, dsum?, dx?, partials?, dgate?, rows, channels, width, eps, scale, plus, gateAfter,
 * activation, scratch]. `x` is the sum where there was a residual. scratch: threads * 4 * (width rounded up to 16)
 * floats. dx may be the memory of x, dy or dsum.
 */
export function rms_norm_gradient(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const weight = pointer(args, 1);
  const gate = pointer(args, 2);
  const dy = pointer(args, 3);
  const dsum = pointer(args, 4);
  const dx = pointer(args, 5);
  const dgate = pointer(args, 7);
  const rows = integer(args, 8);
  const channels = integer(args, 9);
  const width = integer(args, 10);
  const eps = scalar(args, 11);
  const scale = f32x4.splat(scalar(args, 12));
  const plus = f32x4.splat(scalar(args, 13));
  const after = integer(args, 14);
  const activation = integer(args, 15);
  const groups = channels / width;
  const bytes = <usize>width << 2;
  const full = bytes & ~15;
  const rest = width & 3;
  const padded = (bytes + 63) & ~63;
  const e = pointer(args, 16) + <usize>thread * 4 * padded;
  const gated = e + padded;
  const value = gate ? gated + padded : 0;
  const slope = value + padded;
  let partials = pointer(args, 6);
  if (partials) {
    partials += <usize>thread * (channels << 2);
    memory.fill(partials, 0, channels << 2);
  }
  const end = shareStart(rows * groups, thread + 1, threads);
  for (let slice = shareStart(rows * groups, thread, threads); slice < end; slice++) {
    const base = <usize>slice * bytes;
    const group = <usize>(slice % groups) * bytes;
    const x0 = x + base;
    const dy0 = dy + base;
    const weight0 = optional(weight, group);
    const u = gate != 0 && after == 0 ? gated : x0;
    let at: usize = 0;
    if (gate) {
      gateValues(activation, gate + base, value, slope, width);
      for (; at < full; at += 16) {
        prepare(x0 + at, optional(weight0, at), value + at, dy0 + at, gated + at, e + at, scale, plus, after, 4);
      }
    } else {
      for (; at < full; at += 16) prepare(0, optional(weight0, at), 0, dy0 + at, 0, e + at, scale, plus, 0, 4);
    }
    if (rest) prepare(x0 + at, optional(weight0, at), optional(value, at), dy0 + at, gated + at, e + at, scale, plus, after, rest);
    const r: f32 = 1 / sqrt<f32>(dotRow(u, u, width) / <f32>width + eps);
    const inverse = f32x4.splat(r);
    const k = f32x4.splat((dotRow(u, e, width) / <f32>width) * r * r * r);
    const dsum0 = optional(dsum, base);
    const dx0 = optional(dx, base);
    const dweight0 = optional(partials, group);
    const dgate0 = optional(dgate, base);
    at = 0;
    if (gate) {
      for (; at < full; at += 16) {
        finishGated(x0 + at, optional(weight0, at), value + at, slope + at, dy0 + at, optional(dsum0, at), u + at, e + at,
          optional(dx0, at), optional(dweight0, at), optional(dgate0, at), inverse, k, scale, plus, after, 4);
      }
      if (rest) {
        finishGated(x0 + at, optional(weight0, at), value + at, slope + at, dy0 + at, optional(dsum0, at), u + at, e + at,
          optional(dx0, at), optional(dweight0, at), optional(dgate0, at), inverse, k, scale, plus, after, rest);
      }
    } else {
      for (; at < full; at += 16) {
        finish(dy0 + at, optional(dsum0, at), u + at, e + at, optional(dx0, at), optional(dweight0, at), inverse, k, scale, 4);
      }
      if (rest) {
        finish(dy0 + at, optional(dsum0, at), u + at, e + at, optional(dx0, at), optional(dweight0, at), inverse, k, scale, rest);
      }
    }
  }
}
