// What the linear attention kernels share: their arguments, head mapping, and decays.
//
// Decay is taken out of the inner loops by keeping the state relative to its own decay: with cs the running sum of
// the log decay, Ŝ = e^-cs S obeys Ŝ ← Ŝ + (e^-cs k) vᵀ and S q = Ŝ (e^cs q). Where |cs| would pass LIMIT a new
// segment begins from the true state, so nothing overflows, and rounding is that of the plain recurrence.
import { exp } from "./math.as";

/** A segment ends before |cs| passes this: rounding of cs then moves e^cs by 2e-6 of itself at most. */
export const LIMIT: f32 = 30;
/** One token's log decay is held within this: e^-60 = 9e-27 is nothing to f32, and e^60 does not overflow. */
const STRONGEST: f32 = 60;
/** Tokens per entry of `starts`. */
export const CHUNK: i32 = 64;

/** Log decay held within the range that a segment can express; NaN stays. */
// @ts-ignore: decorator
@inline
export function limited(decay: f32): f32 {
  return decay < -STRONGEST ? -STRONGEST : decay > STRONGEST ? STRONGEST : decay;
}

/** The same, lanewise. */
// @ts-ignore: decorator
@inline
export function limitedLanes(decay: v128): v128 {
  return f32x4.max(f32x4.min(decay, f32x4.splat(STRONGEST)), f32x4.splat(-STRONGEST));
}

/** Whether any lane is outside ±LIMIT. */
// @ts-ignore: decorator
@inline
export function beyondLimit(sum: v128): bool {
  return v128.any_true(f32x4.gt(f32x4.abs(sum), f32x4.splat(LIMIT)));
}

/**
 * Splits `tokens` log decays, `stride` bytes apart, into segments. Writes each token's running sum since its segment's
 * start to `sums` and each segment's end (i32) to `ends`; returns the number of segments. decay 0: no decay.
 */
export function headSegments(decay: usize, stride: i32, tokens: i32, sums: usize, ends: usize): i32 {
  if (decay == 0) {
    memory.fill(sums, 0, (tokens + 3) << 2);
    store<i32>(ends, tokens);
    return 1;
  }
  let count = 0;
  let sum: f32 = 0;
  for (let t = 0; t < tokens; t++) {
    const a = limited(load<f32>(decay + t * stride));
    sum += a;
    if (t > 0 && abs(sum) > LIMIT) {
      store<i32>(ends + (count++ << 2), t);
      sum = a;
    }
    store<f32>(sums + (t << 2), sum);
  }
  for (let t = tokens; t < tokens + 3; t++) store<f32>(sums + (t << 2), 0);
  store<i32>(ends + (count++ << 2), tokens);
  return count;
}

/** grows[t] = e^sums[t], shrinks[t] = e^-sums[t]; all three arrays may be touched up to the next multiple of 4. */
export function exponentials(sums: usize, tokens: i32, grows: usize, shrinks: usize): void {
  for (let i = 0; i < tokens << 2; i += 16) {
    const sum = v128.load(sums + i);
    v128.store(grows + i, exp(sum));
    v128.store(shrinks + i, exp(f32x4.neg(sum)));
  }
}
