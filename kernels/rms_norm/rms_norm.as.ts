// rms_norm, forward: x [rows, channels] -> y [rows, channels]; each group of `width` channels has its own mean square.
// Threads share the groups of all rows; the residual is added, the gate applied, the row measured and scaled in passes
// over a group that sits in L1.
import { integer, pointer, scalar, shareStart } from "../common/args.as";
import { gateRow } from "../common/gate.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { addRows, dotRow } from "../common/rows.as";

/** Four (or `lanes`) channels of y = u * factor * (weight + plus). */
// @ts-ignore: decorator
@inline
function weigh(u: usize, factor: v128, weight: usize, plus: v128, y: usize, lanes: i32): void {
  const value = f32x4.mul(loadLanes(u, lanes), factor);
  storeLanes(y, f32x4.mul(value, f32x4.add(loadLanes(weight, lanes), plus)), lanes);
}

/**
 * args: [x, weight?, gate?, residual?, y, sum?, rows, channels, width, eps, scale, plus, gateAfter, activation].
 * y = scale * n(u) * (weight + plus), n(u) = u / sqrt(mean u^2 + eps) over each group of `width` channels. The gate
 * multiplies before the norm (gateAfter 0) or after it (1). y may be the memory of x or residual, sum likewise.
 */
export function rms_norm(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const weight = pointer(args, 1);
  const gate = pointer(args, 2);
  const residual = pointer(args, 3);
  const y = pointer(args, 4);
  const sum = pointer(args, 5);
  const channels = integer(args, 7);
  const width = integer(args, 8);
  const eps = scalar(args, 9);
  const scale = scalar(args, 10);
  const plus = f32x4.splat(scalar(args, 11));
  const after = integer(args, 12);
  const activation = integer(args, 13);
  const groups = channels / width;
  const bytes = <usize>width << 2;
  const full = bytes & ~15;
  const rest = width & 3;
  const slices = integer(args, 6) * groups;
  const end = shareStart(slices, thread + 1, threads);
  for (let slice = shareStart(slices, thread, threads); slice < end; slice++) {
    const base = <usize>slice * bytes;
    const target = y + base;
    // u lies in x itself where nothing is done to it, in `sum` where it is the sum, else in y.
    let u = x + base;
    if (residual) {
      const total = sum ? sum + base : target;
      addRows(u, residual + base, total, width);
      u = total;
    }
    if (gate != 0 && !after) {
      gateRow(activation, u, gate + base, target, width);
      u = target;
    }
    const factor = f32x4.splat(scale / sqrt<f32>(dotRow(u, u, width) / <f32>width + eps));
    let at: usize = 0;
    if (weight) {
      const w = weight + <usize>(slice % groups) * bytes;
      for (; at < full; at += 16) weigh(u + at, factor, w + at, plus, target + at, 4);
      if (rest) weigh(u + at, factor, w + at, plus, target + at, rest);
    } else {
      for (; at < full; at += 16) v128.store(target + at, f32x4.mul(v128.load(u + at), factor));
      if (rest) storeLanes(target + at, f32x4.mul(loadLanes(u + at, rest), factor), rest);
    }
    if (gate != 0 && after) gateRow(activation, target, gate + base, target, width);
  }
}
