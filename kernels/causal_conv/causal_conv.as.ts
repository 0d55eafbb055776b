// causal_conv: depthwise convolution along time, y_t = act(bias + Σ_k w[k] x_{t-K+1+k}), for x, y [B, T, C], w [C, K],
// past and present [B, K-1, C]. A lane is a channel; four taps and the last three tokens stay in registers. Threads share
// the (batch row, tile of tokens, line of channels) triples.
import { integer, pointer, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { silu } from "../common/math.as";
import { fma } from "../common/simd.as";
import { LINE, rowAt, tap } from "../common/taps.as";

const TOKENS: i32 = 64;

/** args: [x, w, bias, past, y, batch, tokens, channels, taps, silu]; bias and past may be 0. */
export function causal_conv(args: usize, thread: i32, threads: i32): void {
  const batch = integer(args, 5);
  const tokens = integer(args, 6);
  const channels = integer(args, 7);
  const taps = integer(args, 8);
  const lines = (channels + LINE - 1) / LINE;
  const tiles = (tokens + TOKENS - 1) / TOKENS;
  const last = shareStart(batch * tiles * lines, thread + 1, threads);
  for (let item = shareStart(batch * tiles * lines, thread, threads); item < last; item++) {
    const line = item % lines;
    const start = ((item / lines) % tiles) * TOKENS;
    const b = item / lines / tiles;
    const end = min(tokens, start + TOKENS);
    for (let c = line * LINE; c < min(channels, (line + 1) * LINE); c += 4) {
      const lanes = min(4, channels - c);
      const x = pointer(args, 0) + ((b * tokens * channels + c) << 2);
      const past = pointer(args, 3) ? pointer(args, 3) + ((b * (taps - 1) * channels + c) << 2) : 0;
      const y = pointer(args, 4) + ((b * tokens * channels + c) << 2);
      const w = pointer(args, 1) + ((c * taps) << 2);
      const bias = pointer(args, 2) ? loadLanes(pointer(args, 2) + (c << 2), lanes) : f32x4.splat(0);
      if (taps <= 4) {
        if (lanes < 4) few(x, past, w, bias, y, start, end, taps, channels, lanes, integer(args, 9));
        else if (integer(args, 9)) fourSilu(x, past, w, bias, y, start, end, taps, channels);
        else fourPlain(x, past, w, bias, y, start, end, taps, channels);
      } else many(x, past, w, bias, y, start, end, taps, channels, lanes, integer(args, 9));
    }
  }
}

// Whole vectors, without a branch in the loop: V8 hoists constants out of straight loops only.
function fourSilu(x: usize, past: usize, w: usize, bias: v128, y: usize, start: i32, end: i32, taps: i32, channels: i32): void {
  few(x, past, w, bias, y, start, end, taps, channels, 4, 1);
}
function fourPlain(x: usize, past: usize, w: usize, bias: v128, y: usize, start: i32, end: i32, taps: i32, channels: i32): void {
  few(x, past, w, bias, y, start, end, taps, channels, 4, 0);
}

// @ts-ignore: decorator
@inline
function few(x: usize, past: usize, w: usize, bias: v128, y: usize, start: i32, end: i32, taps: i32, channels: i32, lanes: i32, activation: i32): void {
  const w0 = tap(w, 0, taps, lanes);
  const w1 = tap(w, 1, taps, lanes);
  const w2 = tap(w, 2, taps, lanes);
  const w3 = tap(w, 3, taps, lanes);
  let x0 = rowAt(x, past, start - 3, taps, channels, lanes);
  let x1 = rowAt(x, past, start - 2, taps, channels, lanes);
  let x2 = rowAt(x, past, start - 1, taps, channels, lanes);
  const stride = channels << 2;
  x += start * stride;
  y += start * stride;
  for (let t = start; t < end; t++) {
    const x3 = loadLanes(x, lanes);
    let sum = fma(w0, x0, bias);
    sum = fma(w1, x1, sum);
    sum = fma(w2, x2, sum);
    sum = fma(w3, x3, sum);
    storeLanes(y, activation ? silu(sum) : sum, lanes);
    x0 = x1;
    x1 = x2;
    x2 = x3;
    x += stride;
    y += stride;
  }
}

function many(x: usize, past: usize, w: usize, bias: v128, y: usize, start: i32, end: i32, taps: i32, channels: i32, lanes: i32, activation: i32): void {
  for (let t = start; t < end; t++) {
    let sum = bias;
    for (let k = 0; k < taps; k++) {
      sum = fma(tap(w, k + 4 - taps, taps, lanes), rowAt(x, past, t - taps + 1 + k, taps, channels, lanes), sum);
    }
    storeLanes(y + ((t * channels) << 2), activation ? silu(sum) : sum, lanes);
  }
}

/**
 * The last K-1 rows of (past, x). args: [x, past, present, batch, tokens, channels, taps]; past may be 0, or present
 * itself. Threads share the channels, so that rows of one channel move in order.
 */
export function causal_conv_present(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const past = pointer(args, 1);
  const present = pointer(args, 2);
  const batch = integer(args, 3);
  const tokens = integer(args, 4);
  const channels = integer(args, 5);
  const kept = integer(args, 6) - 1;
  const start = shareStart(channels, thread, threads);
  const bytes = (shareStart(channels, thread + 1, threads) - start) << 2;
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < kept; i++) {
      const t = tokens - kept + i;
      const target = present + ((((b * kept + i) * channels) + start) << 2);
      if (t >= 0) memory.copy(target, x + ((((b * tokens + t) * channels) + start) << 2), bytes);
      else if (past) memory.copy(target, past + ((((b * kept + i + tokens) * channels) + start) << 2), bytes);
      else memory.fill(target, 0, bytes);
    }
  }
}
