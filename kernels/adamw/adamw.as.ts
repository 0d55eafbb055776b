// adamw: one pass over parameter, gradient and both moments, in place. Threads share the elements.
import { integer, optional, pointer, scalar, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { fma } from "../common/simd.as";

// @ts-ignore: decorator
@inline
function update(
  p: usize, g: usize, m: usize, v: usize, pOut: usize, mOut: usize, vOut: usize,
  scale: v128, beta1: v128, rest1: v128, beta2: v128, rest2: v128, keep: v128, step: v128, root: v128, eps: v128,
  lanes: i32,
): void {
  const gradient = f32x4.mul(loadLanes(g, lanes), scale);
  const first = fma(loadLanes(m, lanes), beta1, f32x4.mul(gradient, rest1));
  const second = fma(loadLanes(v, lanes), beta2, f32x4.mul(f32x4.mul(gradient, gradient), rest2));
  const denominator = fma(f32x4.sqrt(second), root, eps);
  const old = loadLanes(p, lanes);
  if (mOut) storeLanes(mOut, first, lanes);
  if (vOut) storeLanes(vOut, second, lanes);
  if (pOut) storeLanes(pOut, f32x4.sub(f32x4.mul(old, keep), f32x4.div(f32x4.mul(first, step), denominator)), lanes);
}

/**
 * args: [parameter, gradient, m, v, hyper, gradientScale?, parameter', m'?, v'?, count, beta1, beta2, eps, weightDecay,
 * 1 - beta1, 1 - beta2]. hyper = (learning rate, 1 - beta1^t, 1 - beta2^t, unused). The primed outputs may be the
 * memory of their inputs.
 */
export function adamw(args: usize, thread: i32, threads: i32): void {
  const hyper = pointer(args, 4);
  const rate = load<f32>(hyper);
  const gradientScale = pointer(args, 5);
  const count = integer(args, 9);
  const scale = f32x4.splat(gradientScale ? load<f32>(gradientScale) : 1);
  const beta1 = f32x4.splat(scalar(args, 10));
  const beta2 = f32x4.splat(scalar(args, 11));
  const eps = f32x4.splat(scalar(args, 12));
  const keep = f32x4.splat(1 - rate * scalar(args, 13));
  const rest1 = f32x4.splat(scalar(args, 14));
  const rest2 = f32x4.splat(scalar(args, 15));
  const step = f32x4.splat(rate / load<f32>(hyper, 4));
  const root = f32x4.splat(1 / sqrt<f32>(load<f32>(hyper, 8)));
  const offset = <usize>shareStart(count, thread, threads) << 2;
  const share = shareStart(count, thread + 1, threads) - shareStart(count, thread, threads);
  const p = pointer(args, 0) + offset;
  const g = pointer(args, 1) + offset;
  const m = pointer(args, 2) + offset;
  const v = pointer(args, 3) + offset;
  const pOut = optional(pointer(args, 6), offset);
  const mOut = optional(pointer(args, 7), offset);
  const vOut = optional(pointer(args, 8), offset);
  const full = <usize>(share & ~3) << 2;
  let at: usize = 0;
  if (pOut != 0 && mOut != 0 && vOut != 0) {
    for (; at < full; at += 16) {
      update(p + at, g + at, m + at, v + at, pOut + at, mOut + at, vOut + at,
        scale, beta1, rest1, beta2, rest2, keep, step, root, eps, 4);
    }
  } else {
    for (; at < full; at += 16) {
      update(p + at, g + at, m + at, v + at, optional(pOut, at), optional(mOut, at), optional(vOut, at),
        scale, beta1, rest1, beta2, rest2, keep, step, root, eps, 4);
    }
  }
  if (share & 3) {
    update(p + at, g + at, m + at, v + at, optional(pOut, at), optional(mOut, at), optional(vOut, at),
      scale, beta1, rest1, beta2, rest2, keep, step, root, eps, share & 3);
  }
}
