// selective_scan: h_t = exp(Δ_t A) h_{t-1} + Δ_t u_t B_t, y_t = C_t·h_t + D u_t, gated by silu(z_t), for u, delta, z, y
// [B, T, D], A [D, N], h [B, D, N], B, C [B, T, N] (Gu & Dao 2023). A lane is a state: up to 16 states of one channel
// stay in registers while they walk a tile of tokens. Threads share the pairs of batch row and block of channels.
import { integer, pointer, shareStart } from "../common/args.as";
import { ANY, boundBits, decay, decayKind, MEDIUM, SMALL } from "../common/decay.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { silu } from "../common/math.as";
import { BLOCK, padRows, rateBound, sumEach, TILE, timeStep, unpadRows } from "../common/scan_tile.as";
import { fma } from "../common/simd.as";

/** Bytes of a tile row: Δ·log2 e of the block's channels, then Δ·u. The first becomes C·h. */
const ROW: usize = 128;
/** Bytes of a row of partial sums: four channels of four lanes. */
const SUMS: usize = 64;

/**
 * args: [u, delta, A, B, C, D, z, delta_bias, h0, y, h, starts, scratch, scratch bytes per thread, batch, tokens,
 * channels, states, softplus]; D, z, delta_bias, h0 and starts may be 0. h receives the last state and may be h0.
 * Scratch per thread: 16 KiB, and (2 TILE + 3 BLOCK) rows of states, padded to multiples of 4.
 */
export function selective_scan(args: usize, thread: i32, threads: i32): void {
  const u0 = pointer(args, 0);
  const delta0 = pointer(args, 1);
  const z0 = pointer(args, 6);
  const h0 = pointer(args, 8);
  const y0 = pointer(args, 9);
  const h = pointer(args, 10);
  const starts = pointer(args, 11);
  const batch = integer(args, 14);
  const tokens = integer(args, 15);
  const channels = integer(args, 16);
  const states = integer(args, 17);
  const softplus = integer(args, 18) != 0;

  const padded = (states + 3) & ~3;
  const stateBytes = padded << 2;
  const bounds = pointer(args, 12) + thread * integer(args, 13);
  const rows = bounds + 64;
  const sums = rows + TILE * ROW;
  const zeros = sums + TILE * SUMS;
  const spareA = zeros + BLOCK * stateBytes;
  const spareH = spareA + BLOCK * stateBytes;
  const spareB = spareH + BLOCK * stateBytes;
  const spareC = spareB + TILE * stateBytes;
  memory.fill(zeros, 0, BLOCK * stateBytes);

  const blocks = (channels + BLOCK - 1) / BLOCK;
  const chunks = (tokens + TILE - 1) / TILE;
  const first = shareStart(batch * blocks, thread, threads);
  const last = shareStart(batch * blocks, thread + 1, threads);
  for (let b = first / blocks; b * blocks < last; b++) {
    const firstBlock = max(first - b * blocks, 0);
    const lastBlock = min(last - b * blocks, blocks);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const count = min(TILE, tokens - chunk * TILE);
      const row = b * tokens + chunk * TILE;
      const bRows = padRows(pointer(args, 3) + ((row * states) << 2), spareB, count, states, padded);
      const cRows = padRows(pointer(args, 4) + ((row * states) << 2), spareC, count, states, padded);
      for (let block = firstBlock; block < lastBlock; block++) {
        const d = block * BLOCK;
        const width = min(BLOCK, channels - d);
        const at = (row * channels + d) << 2;
        const state = ((b * channels + d) * states) << 2;
        const before = chunk == 0 ? (h0 ? h0 + state : 0) : h + state;
        if (starts) {
          const start = starts + ((((b * chunks + chunk) * channels + d) * states) << 2);
          if (before) memory.copy(start, before, (width * states) << 2);
          else memory.fill(start, 0, (width * states) << 2);
        }
        const rates = padRows(pointer(args, 2) + ((d * states) << 2), spareA, width, states, padded);
        const from = before ? padRows(before, spareH, width, states, padded) : zeros;
        const to = states == padded ? h + state : spareH;
        const bias = pointer(args, 7);
        prepare(u0 + at, delta0 + at, bias ? bias + (d << 2) : 0, channels << 2, rows, bounds, count, width, softplus);
        for (let c = 0; c < width; c += 4) {
          const lanes = min(4, width - c);
          const tile = rows + (c << 2);
          for (let lane = 0; lane < lanes; lane++) {
            const offset = (c + lane) * stateBytes;
            // Short tiles do not repay the look at A.
            const kind = count < 8 ? ANY : decayKind(load<u32>(bounds + ((c + lane) << 2)), rateBound(rates + offset, padded));
            scanChannel(kind, tile + (lane << 2), bRows, cRows, rates + offset, from + offset, to + offset, sums + (lane << 4), count, padded);
          }
          for (let t = 0; t < count; t++) {
            const p = sums + t * SUMS;
            v128.store(tile + t * ROW, sumEach(v128.load(p), v128.load(p, 16), v128.load(p, 32), v128.load(p, 48)));
          }
        }
        unpadRows(spareH, h + state, width, states, padded);
        const skip = pointer(args, 5);
        finish(rows, u0 + at, z0 ? z0 + at : 0, skip ? skip + (d << 2) : 0, y0 + at, channels << 2, count, width);
      }
    }
  }
}

/** Fills the tile of `width` channels; leaves bounds of Δ·log2 e at `bounds`. */
function prepare(u: usize, delta: usize, bias: usize, stride: i32, tile: usize, bounds: usize, count: i32, width: i32, softplus: bool): void {
  let c = 0;
  for (; c + 8 <= width; c += 8) {
    const at = c << 2;
    if (softplus) prepareViaSoftplus(u + at, delta + at, bias ? bias + at : 0, stride, tile + at, bounds + at, count);
    else prepareDirectly(u + at, delta + at, bias ? bias + at : 0, stride, tile + at, bounds + at, count);
  }
  for (; c < width; c += 4) {
    const at = c << 2;
    const lanes = min(4, width - c);
    const biases = bias ? loadLanes(bias + at, lanes) : f32x4.splat(0);
    let bound = i32x4.splat(0);
    for (let t = 0; t < count; t++) {
      const step = timeStep(loadLanes(delta + at + t * stride, lanes), biases, softplus);
      bound = fill(step, loadLanes(u + at + t * stride, lanes), tile + at + t * ROW, bound);
    }
    v128.store(bounds + at, bound);
  }
}

function prepareViaSoftplus(u: usize, delta: usize, bias: usize, stride: i32, tile: usize, bounds: usize, count: i32): void {
  prepareEight(u, delta, bias, stride, tile, bounds, count, true);
}
function prepareDirectly(u: usize, delta: usize, bias: usize, stride: i32, tile: usize, bounds: usize, count: i32): void {
  prepareEight(u, delta, bias, stride, tile, bounds, count, false);
}

/** Two vectors at a time share the constants of softplus and overlap in the pipeline; `softplus` is constant. */
// @ts-ignore: decorator
@inline
function prepareEight(u: usize, delta: usize, bias: usize, stride: i32, tile: usize, bounds: usize, count: i32, softplus: bool): void {
  const bias0 = bias ? v128.load(bias) : f32x4.splat(0);
  const bias1 = bias ? v128.load(bias, 16) : f32x4.splat(0);
  let bound0 = i32x4.splat(0);
  let bound1 = i32x4.splat(0);
  for (let t = 0; t < count; t++) {
    const step0 = timeStep(v128.load(delta), bias0, softplus);
    const step1 = timeStep(v128.load(delta, 16), bias1, softplus);
    bound0 = fill(step0, v128.load(u), tile, bound0);
    bound1 = fill(step1, v128.load(u, 16), tile + 16, bound1);
    u += stride;
    delta += stride;
    tile += ROW;
  }
  v128.store(bounds, bound0);
  v128.store(bounds, bound1, 16);
}

// @ts-ignore: decorator
@inline
function fill(step: v128, u: v128, tile: usize, bound: v128): v128 {
  const scaled = f32x4.mul(step, f32x4.splat(1.44269504088896340736));
  v128.store(tile, scaled);
  v128.store(tile, f32x4.mul(step, u), BLOCK * 4);
  return boundBits(bound, scaled);
}

/** y = (C·h + D u) · silu(z). */
function finish(tile: usize, u: usize, z: usize, skip: usize, y: usize, stride: i32, count: i32, width: i32): void {
  let c = 0;
  for (; c + 8 <= width; c += 8) {
    const at = c << 2;
    const skip0 = skip ? v128.load(skip + at) : f32x4.splat(0);
    const skip1 = skip ? v128.load(skip + at, 16) : f32x4.splat(0);
    if (z) finishGated(tile + at, u + at, z + at, skip0, skip1, y + at, stride, count);
    else finishPlain(tile + at, u + at, skip0, skip1, y + at, stride, count);
  }
  for (; c < width; c += 4) {
    const at = c << 2;
    const lanes = min(4, width - c);
    const skips = skip ? loadLanes(skip + at, lanes) : f32x4.splat(0);
    for (let t = 0; t < count; t++) {
      const row = at + t * stride;
      let value = fma(skips, loadLanes(u + row, lanes), v128.load(tile + at + t * ROW));
      if (z) value = f32x4.mul(value, silu(loadLanes(z + row, lanes)));
      storeLanes(y + row, value, lanes);
    }
  }
}

function finishGated(tile: usize, u: usize, z: usize, skip0: v128, skip1: v128, y: usize, stride: i32, count: i32): void {
  for (let t = 0; t < count; t++) {
    const value0 = fma(skip0, v128.load(u), v128.load(tile));
    const value1 = fma(skip1, v128.load(u, 16), v128.load(tile, 16));
    const gate0 = silu(v128.load(z));
    const gate1 = silu(v128.load(z, 16));
    v128.store(y, f32x4.mul(value0, gate0));
    v128.store(y, f32x4.mul(value1, gate1), 16);
    tile += ROW;
    u += stride;
    z += stride;
    y += stride;
  }
}

function finishPlain(tile: usize, u: usize, skip0: v128, skip1: v128, y: usize, stride: i32, count: i32): void {
  for (let t = 0; t < count; t++) {
    const value0 = fma(skip0, v128.load(u), v128.load(tile));
    const value1 = fma(skip1, v128.load(u, 16), v128.load(tile, 16));
    v128.store(y, value0);
    v128.store(y, value1, 16);
    tile += ROW;
    u += stride;
    y += stride;
  }
}

/** All states of one channel over a tile, up to 16 at a time. */
function scanChannel(kind: i32, tile: usize, b: usize, c: usize, a: usize, from: usize, to: usize, sums: usize, count: i32, padded: i32): void {
  const row = padded << 2;
  let n = 0;
  for (; n + 16 <= padded; n += 16) {
    const at = n << 2;
    if (kind == SMALL) scanSmall(tile, b + at, c + at, row, a + at, from + at, to + at, sums, count, n != 0);
    else if (kind == MEDIUM) scanMedium(tile, b + at, c + at, row, a + at, from + at, to + at, sums, count, n != 0);
    else scanAny(tile, b + at, c + at, row, a + at, from + at, to + at, sums, count, n != 0);
  }
  for (; n < padded; n += 4) {
    const at = n << 2;
    scanFew(tile, b + at, c + at, row, a + at, from + at, to + at, sums, count, n != 0);
  }
}

// One function each: V8 allocates registers better in small functions.
function scanSmall(tile: usize, b: usize, c: usize, row: i32, a: usize, from: usize, to: usize, sums: usize, count: i32, more: bool): void {
  scan(4, SMALL, tile, b, c, row, a, from, to, sums, count, more);
}
function scanMedium(tile: usize, b: usize, c: usize, row: i32, a: usize, from: usize, to: usize, sums: usize, count: i32, more: bool): void {
  scan(4, MEDIUM, tile, b, c, row, a, from, to, sums, count, more);
}
function scanAny(tile: usize, b: usize, c: usize, row: i32, a: usize, from: usize, to: usize, sums: usize, count: i32, more: bool): void {
  scan(4, ANY, tile, b, c, row, a, from, to, sums, count, more);
}
function scanFew(tile: usize, b: usize, c: usize, row: i32, a: usize, from: usize, to: usize, sums: usize, count: i32, more: bool): void {
  scan(1, ANY, tile, b, c, row, a, from, to, sums, count, more);
}

/** 4 · `quads` states over `count` tokens; `quads` and `kind` are constants. Adds to the sums where `more`. */
// @ts-ignore: decorator
@inline
function scan(quads: i32, kind: i32, tile: usize, b: usize, c: usize, row: i32, a: usize, from: usize, to: usize, sums: usize, count: i32, more: bool): void {
  const zero = f32x4.splat(0);
  const a0 = v128.load(a);
  const a1 = quads > 1 ? v128.load(a, 16) : zero;
  const a2 = quads > 2 ? v128.load(a, 32) : zero;
  const a3 = quads > 3 ? v128.load(a, 48) : zero;
  let h0 = v128.load(from);
  let h1 = quads > 1 ? v128.load(from, 16) : zero;
  let h2 = quads > 2 ? v128.load(from, 32) : zero;
  let h3 = quads > 3 ? v128.load(from, 48) : zero;
  for (let t = 0; t < count; t++) {
    const step = v128.load32_splat(tile);
    const drive = v128.load32_splat(tile, BLOCK * 4);
    h0 = fma(decay(step, a0, kind), h0, f32x4.mul(drive, v128.load(b)));
    let sum = f32x4.mul(h0, v128.load(c));
    if (quads > 1) {
      h1 = fma(decay(step, a1, kind), h1, f32x4.mul(drive, v128.load(b, 16)));
      sum = fma(h1, v128.load(c, 16), sum);
    }
    if (quads > 2) {
      h2 = fma(decay(step, a2, kind), h2, f32x4.mul(drive, v128.load(b, 32)));
      sum = fma(h2, v128.load(c, 32), sum);
    }
    if (quads > 3) {
      h3 = fma(decay(step, a3, kind), h3, f32x4.mul(drive, v128.load(b, 48)));
      sum = fma(h3, v128.load(c, 48), sum);
    }
    v128.store(sums, more ? f32x4.add(sum, v128.load(sums)) : sum);
    tile += ROW;
    b += row;
    c += row;
    sums += SUMS;
  }
  v128.store(to, h0);
  if (quads > 1) v128.store(to, h1, 16);
  if (quads > 2) v128.store(to, h2, 32);
  if (quads > 3) v128.store(to, h3, 48);
}
