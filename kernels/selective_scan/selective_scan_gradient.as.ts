// selective_scan_gradient: backward pass of selective_scan, tile by tile from the last token to the first. Each tile runs
// forward from its kept start, leaving states and decays of one channel in cache, and then back over them. Threads share
// the pairs of batch row and block of channels; sums over rows (A, D, delta_bias) or channels (B, C) go to partial
// results, which selective_scan_gradient_sum adds in a fixed order.
import { integer, pointer, shareStart } from "../common/args.as";
import { ANY, decay, decayKind, MEDIUM, SMALL } from "../common/decay.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { DRIVE, GATE, GROUP, INPUT, OUTER, prepareGradient, ROW, SCALED, SLOPE, STEP } from "../common/scan_gradient_tile.as";
import { BLOCK, padRows, rateBound, sumEach, TILE, unpadRows } from "../common/scan_tile.as";
import { fma } from "../common/simd.as";

/** Bytes of a row of partial sums: C·h, g·B and A·a·g·h for four channels of four lanes. */
const SUMS: usize = 192;

/**
 * args: [u, delta, A, B, C, D, z, delta_bias, starts, dy, dhT, du, ddelta, dz, dh0, carry [B, D, N'], dA [B, D, N'],
 * dD [B, D], ddelta_bias [B, D], dB [.., B, T, N'], dC, words between the dB (and dC) of two threads, scratch, bytes of it
 * per thread, batch, tokens, channels, states, softplus]. N' is N rounded up to a multiple of 4. D, z, delta_bias, dy, dhT
 * and every result but carry, dA, dD, ddelta_bias, dB, dC may be 0. Scratch per thread: 41 KiB, then 4 TILE + 3 BLOCK + 2
 * rows of N'.
 */
export function selective_scan_gradient(args: usize, thread: i32, threads: i32): void {
  const batch = integer(args, 24);
  const tokens = integer(args, 25);
  const channels = integer(args, 26);
  const states = integer(args, 27);
  const padded = (states + 3) & ~3;
  const stateBytes = padded << 2;
  const dh0 = pointer(args, 14);
  const apart = thread * integer(args, 21);

  const bounds = pointer(args, 22) + thread * integer(args, 23);
  const tile = bounds + 64;
  const sums = tile + (BLOCK / 4) * GROUP;
  const trail = sums + TILE * SUMS;
  const spareA = trail + 2 * (TILE + 1) * stateBytes;
  const spareH = spareA + BLOCK * stateBytes;
  const spareB = spareH + BLOCK * stateBytes;
  const spareC = spareB + TILE * stateBytes;

  const blocks = (channels + BLOCK - 1) / BLOCK;
  const chunks = (tokens + TILE - 1) / TILE;
  const first = shareStart(batch * blocks, thread, threads);
  const last = shareStart(batch * blocks, thread + 1, threads);
  for (let b = first / blocks; b * blocks < last; b++) {
    const firstBlock = max(first - b * blocks, 0);
    const lastBlock = min(last - b * blocks, blocks);
    begin(args, b, firstBlock * BLOCK, min(lastBlock * BLOCK, channels), channels, states, padded);
    for (let chunk = chunks - 1; chunk >= 0; chunk--) {
      const count = min(TILE, tokens - chunk * TILE);
      const row = b * tokens + chunk * TILE;
      const bRows = padRows(pointer(args, 3) + ((row * states) << 2), spareB, count, states, padded);
      const cRows = padRows(pointer(args, 4) + ((row * states) << 2), spareC, count, states, padded);
      const dB = pointer(args, 19) + ((apart + row * padded) << 2);
      const dC = pointer(args, 20) + ((apart + row * padded) << 2);
      memory.fill(dB, 0, count * stateBytes);
      memory.fill(dC, 0, count * stateBytes);
      for (let block = firstBlock; block < lastBlock; block++) {
        const d = block * BLOCK;
        const width = min(BLOCK, channels - d);
        const at = (row * channels + d) << 2;
        const start = pointer(args, 8) + ((((b * chunks + chunk) * channels + d) * states) << 2);
        const rates = padRows(pointer(args, 2) + ((d * states) << 2), spareA, width, states, padded);
        const from = padRows(start, spareH, width, states, padded);
        prepareGradient(args, tile, bounds, at, d, channels << 2, count, width);
        for (let c = 0; c < width; c += 4) {
          const lanes = min(4, width - c);
          const group = tile + (c >> 2) * GROUP;
          for (let lane = 0; lane < lanes; lane++) {
            const offset = (c + lane) * stateBytes;
            const state = ((b * channels + d + c + lane) * padded) << 2;
            const kind = count < 8 ? ANY : decayKind(load<u32>(bounds + ((c + lane) << 2)), rateBound(rates + offset, padded));
            const channel = group + (lane << 2);
            const sum = sums + (lane << 4);
            for (let n = 0; n < padded; n += 16) {
              const o = n << 2;
              const quads = min(4, (padded - n) >> 2);
              const carry = pointer(args, 15) + state + o;
              const dA = pointer(args, 16) + state + o;
              if (quads == 4) {
                if (kind == SMALL) forwardSmall(channel, bRows + o, cRows + o, stateBytes, rates + offset + o, from + offset + o, trail, sum, count, n != 0);
                else if (kind == MEDIUM) forwardMedium(channel, bRows + o, cRows + o, stateBytes, rates + offset + o, from + offset + o, trail, sum, count, n != 0);
                else forwardAny(channel, bRows + o, cRows + o, stateBytes, rates + offset + o, from + offset + o, trail, sum, count, n != 0);
                backwardFour(channel, bRows + o, cRows + o, dB + o, dC + o, stateBytes, rates + offset + o, carry, dA, trail, sum, count, n != 0);
              } else {
                for (let q = 0; q < quads << 4; q += 16) {
                  const p = o + q;
                  forwardOne(channel, bRows + p, cRows + p, stateBytes, rates + offset + p, from + offset + p, trail, sum, count, (n | q) != 0);
                  backwardOne(channel, bRows + p, cRows + p, dB + p, dC + p, stateBytes, rates + offset + p, carry + q, dA + q, trail, sum, count, (n | q) != 0);
                }
              }
            }
          }
          finish(args, group, sums, at + (c << 2), d + c, b * channels + d + c, channels << 2, count, lanes);
        }
      }
    }
    if (dh0) {
      const d = firstBlock * BLOCK;
      const width = min(lastBlock * BLOCK, channels) - d;
      unpadRows(pointer(args, 15) + (((b * channels + d) * padded) << 2), dh0 + (((b * channels + d) * states) << 2), width, states, padded);
    }
  }
}

/** carry = dhT or 0; dA, dD, ddelta_bias = 0, for some channels of a batch row. */
function begin(args: usize, b: i32, d: i32, end: i32, channels: i32, states: i32, padded: i32): void {
  const dhT = pointer(args, 10);
  const row = b * channels + d;
  const carry = pointer(args, 15) + ((row * padded) << 2);
  const bytes = (end - d) * (padded << 2);
  if (!dhT) {
    memory.fill(carry, 0, bytes);
  } else {
    const source = dhT + ((row * states) << 2);
    if (padRows(source, carry, end - d, states, padded) != carry) memory.copy(carry, source, bytes);
  }
  memory.fill(pointer(args, 16) + ((row * padded) << 2), 0, bytes);
  memory.fill(pointer(args, 17) + (row << 2), 0, (end - d) << 2);
  memory.fill(pointer(args, 18) + (row << 2), 0, (end - d) << 2);
}

/** du, ddelta, dz of four channels over a tile; adds to their dD and ddelta_bias. */
function finish(args: usize, row: usize, sums: usize, offset: i32, d: i32, partial: i32, stride: i32, count: i32, lanes: i32): void {
  const skips = pointer(args, 5) ? loadLanes(pointer(args, 5) + (d << 2), lanes) : f32x4.splat(0);
  const gated = pointer(args, 6) != 0;
  const du0 = pointer(args, 11);
  const ddelta0 = pointer(args, 12);
  const dz0 = pointer(args, 13);
  let dD = f32x4.splat(0);
  let dbias = f32x4.splat(0);
  for (let t = 0; t < count; t++) {
    const u = v128.load(row, INPUT);
    const outer = v128.load(row, OUTER);
    const throughB = sumEach(v128.load(sums, 64), v128.load(sums, 80), v128.load(sums, 96), v128.load(sums, 112));
    const throughA = sumEach(v128.load(sums, 128), v128.load(sums, 144), v128.load(sums, 160), v128.load(sums, 176));
    const ddelta = f32x4.mul(fma(u, throughB, throughA), v128.load(row, SLOPE));
    dbias = f32x4.add(dbias, ddelta);
    dD = fma(outer, u, dD);
    if (du0) storeLanes(du0 + offset, fma(v128.load(row, STEP), throughB, f32x4.mul(skips, outer)), lanes);
    if (ddelta0) storeLanes(ddelta0 + offset, ddelta, lanes);
    if (dz0) {
      let dz = f32x4.splat(0);
      if (gated) {
        const read = sumEach(v128.load(sums), v128.load(sums, 16), v128.load(sums, 32), v128.load(sums, 48));
        dz = f32x4.mul(v128.load(row, GATE), fma(skips, u, read));
      }
      storeLanes(dz0 + offset, dz, lanes);
    }
    row += ROW;
    sums += SUMS;
    offset += stride;
  }
  const dD0 = pointer(args, 17) + (partial << 2);
  const dbias0 = pointer(args, 18) + (partial << 2);
  storeLanes(dD0, f32x4.add(loadLanes(dD0, lanes), dD), lanes);
  storeLanes(dbias0, f32x4.add(loadLanes(dbias0, lanes), dbias), lanes);
}

// One function each: V8 allocates registers better in small functions.
function forwardSmall(tile: usize, b: usize, c: usize, row: i32, a: usize, from: usize, trail: usize, sums: usize, count: i32, more: bool): void {
  forward(4, SMALL, tile, b, c, row, a, from, trail, sums, count, more);
}
function forwardMedium(tile: usize, b: usize, c: usize, row: i32, a: usize, from: usize, trail: usize, sums: usize, count: i32, more: bool): void {
  forward(4, MEDIUM, tile, b, c, row, a, from, trail, sums, count, more);
}
function forwardAny(tile: usize, b: usize, c: usize, row: i32, a: usize, from: usize, trail: usize, sums: usize, count: i32, more: bool): void {
  forward(4, ANY, tile, b, c, row, a, from, trail, sums, count, more);
}
function forwardOne(tile: usize, b: usize, c: usize, row: i32, a: usize, from: usize, trail: usize, sums: usize, count: i32, more: bool): void {
  forward(1, ANY, tile, b, c, row, a, from, trail, sums, count, more);
}
function backwardFour(tile: usize, b: usize, c: usize, dB: usize, dC: usize, row: i32, a: usize, carry: usize, dA: usize, trail: usize, sums: usize, count: i32, more: bool): void {
  backward(4, tile, b, c, dB, dC, row, a, carry, dA, trail, sums, count, more);
}
function backwardOne(tile: usize, b: usize, c: usize, dB: usize, dC: usize, row: i32, a: usize, carry: usize, dA: usize, trail: usize, sums: usize, count: i32, more: bool): void {
  backward(1, tile, b, c, dB, dC, row, a, carry, dA, trail, sums, count, more);
}

/** 4 · `quads` states over a tile. Row t of the trail becomes (h_{t-1}, a_t), the last one (h, nothing). */
// @ts-ignore: decorator
@inline
function forward(quads: i32, kind: i32, tile: usize, b: usize, c: usize, row: i32, a: usize, from: usize, trail: usize, sums: usize, count: i32, more: bool): void {
  const zero = f32x4.splat(0);
  const stride = quads << 5;
  const decays = quads << 4;
  const a0 = v128.load(a);
  const a1 = quads > 1 ? v128.load(a, 16) : zero;
  const a2 = quads > 1 ? v128.load(a, 32) : zero;
  const a3 = quads > 1 ? v128.load(a, 48) : zero;
  let h0 = v128.load(from);
  let h1 = quads > 1 ? v128.load(from, 16) : zero;
  let h2 = quads > 1 ? v128.load(from, 32) : zero;
  let h3 = quads > 1 ? v128.load(from, 48) : zero;
  for (let t = 0; t < count; t++) {
    const step = v128.load32_splat(tile, SCALED);
    const drive = v128.load32_splat(tile, DRIVE);
    v128.store(trail, h0);
    const d0 = decay(step, a0, kind);
    v128.store(trail + decays, d0);
    h0 = fma(d0, h0, f32x4.mul(drive, v128.load(b)));
    let sum = f32x4.mul(h0, v128.load(c));
    if (quads > 1) {
      v128.store(trail, h1, 16);
      const d1 = decay(step, a1, kind);
      v128.store(trail + decays, d1, 16);
      h1 = fma(d1, h1, f32x4.mul(drive, v128.load(b, 16)));
      sum = fma(h1, v128.load(c, 16), sum);
      v128.store(trail, h2, 32);
      const d2 = decay(step, a2, kind);
      v128.store(trail + decays, d2, 32);
      h2 = fma(d2, h2, f32x4.mul(drive, v128.load(b, 32)));
      sum = fma(h2, v128.load(c, 32), sum);
      v128.store(trail, h3, 48);
      const d3 = decay(step, a3, kind);
      v128.store(trail + decays, d3, 48);
      h3 = fma(d3, h3, f32x4.mul(drive, v128.load(b, 48)));
      sum = fma(h3, v128.load(c, 48), sum);
    }
    v128.store(sums, more ? f32x4.add(sum, v128.load(sums)) : sum);
    tile += ROW;
    b += row;
    c += row;
    sums += SUMS;
    trail += stride;
  }
  v128.store(trail, h0);
  if (quads > 1) {
    v128.store(trail, h1, 16);
    v128.store(trail, h2, 32);
    v128.store(trail, h3, 48);
  }
}

/** Back over the trail: w is a_{t+1} g_{t+1}. Adds to dA, dB, dC and, where `more`, to the sums. */
// @ts-ignore: decorator
@inline
function backward(quads: i32, tile: usize, b: usize, c: usize, dB: usize, dC: usize, row: i32, a: usize, carry: usize, dA: usize, trail: usize, sums: usize, count: i32, more: bool): void {
  const zero = f32x4.splat(0);
  const stride = quads << 5;
  const decays = quads << 4;
  const skip = (count - 1) * row;
  tile += (count - 1) * ROW;
  b += skip;
  c += skip;
  dB += skip;
  dC += skip;
  sums += (count - 1) * SUMS;
  trail += (count - 1) * stride;
  let w0 = v128.load(carry);
  let w1 = quads > 1 ? v128.load(carry, 16) : zero;
  let w2 = quads > 1 ? v128.load(carry, 32) : zero;
  let w3 = quads > 1 ? v128.load(carry, 48) : zero;
  let dA0 = v128.load(dA);
  let dA1 = quads > 1 ? v128.load(dA, 16) : zero;
  let dA2 = quads > 1 ? v128.load(dA, 32) : zero;
  let dA3 = quads > 1 ? v128.load(dA, 48) : zero;
  for (let t = 0; t < count; t++) {
    const drive = v128.load32_splat(tile, DRIVE);
    const outer = v128.load32_splat(tile, OUTER);
    const step = v128.load32_splat(tile, STEP);
    const g0 = fma(outer, v128.load(c), w0);
    v128.store(dC, fma(outer, v128.load(trail + stride), v128.load(dC)));
    v128.store(dB, fma(drive, g0, v128.load(dB)));
    let throughB = f32x4.mul(g0, v128.load(b));
    w0 = f32x4.mul(g0, v128.load(trail + decays));
    const q0 = f32x4.mul(w0, v128.load(trail));
    let throughA = f32x4.mul(q0, v128.load(a));
    dA0 = fma(q0, step, dA0);
    if (quads > 1) {
      const g1 = fma(outer, v128.load(c, 16), w1);
      v128.store(dC, fma(outer, v128.load(trail + stride, 16), v128.load(dC, 16)), 16);
      v128.store(dB, fma(drive, g1, v128.load(dB, 16)), 16);
      throughB = fma(g1, v128.load(b, 16), throughB);
      w1 = f32x4.mul(g1, v128.load(trail + decays, 16));
      const q1 = f32x4.mul(w1, v128.load(trail, 16));
      throughA = fma(q1, v128.load(a, 16), throughA);
      dA1 = fma(q1, step, dA1);
      const g2 = fma(outer, v128.load(c, 32), w2);
      v128.store(dC, fma(outer, v128.load(trail + stride, 32), v128.load(dC, 32)), 32);
      v128.store(dB, fma(drive, g2, v128.load(dB, 32)), 32);
      throughB = fma(g2, v128.load(b, 32), throughB);
      w2 = f32x4.mul(g2, v128.load(trail + decays, 32));
      const q2 = f32x4.mul(w2, v128.load(trail, 32));
      throughA = fma(q2, v128.load(a, 32), throughA);
      dA2 = fma(q2, step, dA2);
      const g3 = fma(outer, v128.load(c, 48), w3);
      v128.store(dC, fma(outer, v128.load(trail + stride, 48), v128.load(dC, 48)), 48);
      v128.store(dB, fma(drive, g3, v128.load(dB, 48)), 48);
      throughB = fma(g3, v128.load(b, 48), throughB);
      w3 = f32x4.mul(g3, v128.load(trail + decays, 48));
      const q3 = f32x4.mul(w3, v128.load(trail, 48));
      throughA = fma(q3, v128.load(a, 48), throughA);
      dA3 = fma(q3, step, dA3);
    }
    v128.store(sums, more ? f32x4.add(throughB, v128.load(sums, 64)) : throughB, 64);
    v128.store(sums, more ? f32x4.add(throughA, v128.load(sums, 128)) : throughA, 128);
    tile -= ROW;
    b -= row;
    c -= row;
    dB -= row;
    dC -= row;
    sums -= SUMS;
    trail -= stride;
  }
  v128.store(carry, w0);
  v128.store(dA, dA0);
  if (quads > 1) {
    v128.store(carry, w1, 16);
    v128.store(carry, w2, 32);
    v128.store(carry, w3, 48);
    v128.store(dA, dA1, 16);
    v128.store(dA, dA2, 32);
    v128.store(dA, dA3, 48);
  }
}
