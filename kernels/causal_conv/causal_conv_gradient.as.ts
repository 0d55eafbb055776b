// causal_conv_gradient: one walk over the tokens of a batch row for four channels at a time. With g_t the gradient before
// the activation and r_j row j of (past, x): dr_j = Σ_k w[k] g_{j-k}, dw[k] = Σ_t g_t r_{t+k}, dbias = Σ g_t. The sums of
// dr that are not complete yet stay in registers. Threads share the pairs of batch row and line of channels; dw and
// dbias, one partial result per batch row, are added by causal_conv_gradient_sum.
import { integer, pointer, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { sigmoid, siluGradient } from "../common/math.as";
import { fma } from "../common/simd.as";
import { LINE, rowAt, tap } from "../common/taps.as";

/**
 * args: [x, w, bias, past, dy, dpresent, dx, dpast, dw [B, C, K], dbias [B, C], scratch, bytes of it per thread, batch,
 * tokens, channels, taps, silu]; bias, past, dy, dpresent, dx, dpast may be 0. Scratch per thread: 64
 * bytes, or 16 a token where there are more than 4 taps.
 */
export function causal_conv_gradient(args: usize, thread: i32, threads: i32): void {
  const channels = integer(args, 14);
  const lines = (channels + LINE - 1) / LINE;
  const last = shareStart(integer(args, 12) * lines, thread + 1, threads);
  const scratch = pointer(args, 10) + thread * integer(args, 11);
  for (let item = shareStart(integer(args, 12) * lines, thread, threads); item < last; item++) {
    const b = item / lines;
    const first = (item % lines) * LINE;
    for (let c = first; c < min(channels, first + LINE); c += 4) {
      if (integer(args, 15) <= 4) {
        if (c + 4 > channels || !pointer(args, 4)) few(args, b, c, scratch, min(4, channels - c), pointer(args, 4) != 0, integer(args, 16));
        else if (integer(args, 16)) fourSilu(args, b, c, scratch);
        else fourPlain(args, b, c, scratch);
      } else many(args, b, c, min(4, channels - c), scratch);
    }
  }
}

/** Address of batch row `b`, channel `c` of the argument at `index`, [B, rows, C]; 0 where it is absent. */
// @ts-ignore: decorator
@inline
function place(args: usize, index: i32, b: i32, rows: i32, c: i32): usize {
  const base = pointer(args, index);
  return base ? base + ((b * rows * integer(args, 14) + c) << 2) : 0;
}

/** The gradient before the activation, given the value there. */
// @ts-ignore: decorator
@inline
function beforeActivation(value: v128, dy: v128, activation: i32): v128 {
  return activation ? f32x4.mul(dy, siluGradient(value, sigmoid(value))) : dy;
}

/** Writes dr of row j: to dpast, dx, or nowhere; adds dpresent to the last rows. */
function emit(dx: usize, dpast: usize, dpresent: usize, j: i32, value: v128, tokens: i32, taps: i32, channels: i32, lanes: i32): void {
  if (j < 0) return;
  if (dpresent && j >= tokens) value = f32x4.add(value, loadLanes(dpresent + (((j - tokens) * channels) << 2), lanes));
  const t = j - taps + 1;
  if (t >= 0) {
    if (dx) storeLanes(dx + ((t * channels) << 2), value, lanes);
  } else if (dpast) {
    storeLanes(dpast + ((j * channels) << 2), value, lanes);
  }
}

/** Adds the tap gradient of `lanes` channels into dw [C, taps] at the first of them. */
// @ts-ignore: decorator
@inline
function storeTap(dw: usize, k: i32, value: v128, taps: i32, lanes: i32): void {
  if (k < 0) return;
  const at = dw + (k << 2);
  v128.store_lane<u32>(at, value, 0);
  if (lanes > 1) v128.store_lane<u32>(at + (taps << 2), value, 1);
  if (lanes > 2) v128.store_lane<u32>(at + (taps << 3), value, 2);
  if (lanes > 3) v128.store_lane<u32>(at + taps * 12, value, 3);
}

// Whole vectors, without a branch in the loop: V8 hoists constants out of straight loops only.
function fourSilu(args: usize, b: i32, c: i32, scratch: usize): void {
  few(args, b, c, scratch, 4, true, 1);
}
function fourPlain(args: usize, b: i32, c: i32, scratch: usize): void {
  few(args, b, c, scratch, 4, true, 0);
}

// @ts-ignore: decorator
@inline
function few(args: usize, b: i32, c: i32, scratch: usize, lanes: i32, upstream: bool, activation: i32): void {
  const tokens = integer(args, 13);
  const channels = integer(args, 14);
  const taps = integer(args, 15);
  const x = place(args, 0, b, tokens, c);
  const past = place(args, 3, b, taps - 1, c);
  const dy0 = place(args, 4, b, tokens, c);
  const dpresent = place(args, 5, b, taps - 1, c);
  const dx = place(args, 6, b, tokens, c);
  const dpast = place(args, 7, b, taps - 1, c);
  const w = pointer(args, 1) + ((c * taps) << 2);
  const w0 = tap(w, 0, taps, lanes);
  const w1 = tap(w, 1, taps, lanes);
  const w2 = tap(w, 2, taps, lanes);
  const w3 = tap(w, 3, taps, lanes);
  const bias = pointer(args, 2) ? loadLanes(pointer(args, 2) + (c << 2), lanes) : f32x4.splat(0);
  let x0 = rowAt(x, past, -3, taps, channels, lanes);
  let x1 = rowAt(x, past, -2, taps, channels, lanes);
  let x2 = rowAt(x, past, -1, taps, channels, lanes);
  // Row t of the four taps is row t - missing of (past, x).
  const missing = 4 - taps;
  let r0 = f32x4.splat(0);
  let r1 = r0;
  let r2 = r0;
  let dw0 = r0;
  let dw1 = r0;
  let dw2 = r0;
  let dw3 = r0;
  let dbias = r0;
  for (let t = 0; t < tokens; t++) {
    const x3 = loadLanes(x + ((t * channels) << 2), lanes);
    let g = f32x4.splat(0);
    if (upstream) {
      g = loadLanes(dy0 + ((t * channels) << 2), lanes);
      if (activation) g = beforeActivation(fma(w3, x3, fma(w2, x2, fma(w1, x1, fma(w0, x0, bias)))), g, activation);
    }
    dbias = f32x4.add(dbias, g);
    dw0 = fma(g, x0, dw0);
    dw1 = fma(g, x1, dw1);
    dw2 = fma(g, x2, dw2);
    dw3 = fma(g, x3, dw3);
    const done = fma(w0, g, r0);
    // The first three complete sums belong to the past, or to nothing: they wait in scratch.
    const kept = t >= 3 && dx != 0;
    storeLanes(kept ? dx + (((t - 3) * channels) << 2) : scratch + (min(t, 3) << 4), done, lanes);
    r0 = fma(w1, g, r1);
    r1 = fma(w2, g, r2);
    r2 = f32x4.mul(w3, g);
    x0 = x1;
    x1 = x2;
    x2 = x3;
  }
  for (let t = 0; t < min(3, tokens); t++) {
    emit(dx, dpast, dpresent, t - missing, v128.load(scratch + (t << 4)), tokens, taps, channels, lanes);
  }
  emit(dx, dpast, dpresent, tokens - missing, r0, tokens, taps, channels, lanes);
  emit(dx, dpast, dpresent, tokens - missing + 1, r1, tokens, taps, channels, lanes);
  emit(dx, dpast, dpresent, tokens - missing + 2, r2, tokens, taps, channels, lanes);
  const dw = pointer(args, 8) + (((b * channels + c) * taps) << 2);
  storeTap(dw, -missing, dw0, taps, lanes);
  storeTap(dw, 1 - missing, dw1, taps, lanes);
  storeTap(dw, 2 - missing, dw2, taps, lanes);
  storeTap(dw, 3 - missing, dw3, taps, lanes);
  storeLanes(pointer(args, 9) + ((b * channels + c) << 2), dbias, lanes);
}

function many(args: usize, b: i32, c: i32, lanes: i32, scratch: usize): void {
  const tokens = integer(args, 13);
  const channels = integer(args, 14);
  const taps = integer(args, 15);
  const activation = integer(args, 16);
  const x = place(args, 0, b, tokens, c);
  const past = place(args, 3, b, taps - 1, c);
  const dy = place(args, 4, b, tokens, c);
  const dpresent = place(args, 5, b, taps - 1, c);
  const dx = place(args, 6, b, tokens, c);
  const dpast = place(args, 7, b, taps - 1, c);
  const w = pointer(args, 1) + ((c * taps) << 2);
  const missing = 4 - taps;
  let dbias = f32x4.splat(0);
  for (let t = 0; t < tokens; t++) {
    let value = pointer(args, 2) ? loadLanes(pointer(args, 2) + (c << 2), lanes) : f32x4.splat(0);
    for (let k = 0; k < taps; k++) {
      value = fma(tap(w, k + missing, taps, lanes), rowAt(x, past, t - taps + 1 + k, taps, channels, lanes), value);
    }
    const g = dy ? beforeActivation(value, loadLanes(dy + ((t * channels) << 2), lanes), activation) : f32x4.splat(0);
    dbias = f32x4.add(dbias, g);
    v128.store(scratch + (t << 4), g);
  }
  for (let j = 0; j < tokens + taps - 1; j++) {
    let value = f32x4.splat(0);
    for (let k = max(0, j - tokens + 1); k <= min(j, taps - 1); k++) {
      value = fma(tap(w, k + missing, taps, lanes), v128.load(scratch + ((j - k) << 4)), value);
    }
    emit(dx, dpast, dpresent, j, value, tokens, taps, channels, lanes);
  }
  const dw = pointer(args, 8) + (((b * channels + c) * taps) << 2);
  for (let k = 0; k < taps; k++) {
    let value = f32x4.splat(0);
    for (let t = 0; t < tokens; t++) {
      value = fma(v128.load(scratch + (t << 4)), rowAt(x, past, t - taps + 1 + k, taps, channels, lanes), value);
    }
    storeTap(dw, k, value, taps, lanes);
  }
  storeLanes(pointer(args, 9) + ((b * channels + c) << 2), dbias, lanes);
}

/** args: [dw [B, C, K], dbias [B, C], to dw [C, K], to dbias [C], batch, channels, taps]; either target may be 0. */
export function causal_conv_gradient_sum(args: usize, thread: i32, threads: i32): void {
  const batch = integer(args, 4);
  const channels = integer(args, 5);
  const start = shareStart(channels, thread, threads);
  const end = shareStart(channels, thread + 1, threads);
  const taps = integer(args, 6);
  sum(pointer(args, 0), pointer(args, 2), channels * taps, batch, start * taps, end * taps);
  sum(pointer(args, 1), pointer(args, 3), channels, batch, start, end);
}

function sum(source: usize, target: usize, size: i32, batch: i32, start: i32, end: i32): void {
  if (!target || target == source) return;
  for (let i = start; i < end; i += 4) {
    const lanes = min(4, end - i);
    let total = loadLanes(source + (i << 2), lanes);
    for (let b = 1; b < batch; b++) total = f32x4.add(total, loadLanes(source + ((b * size + i) << 2), lanes));
    storeLanes(target + (i << 2), total, lanes);
  }
}
