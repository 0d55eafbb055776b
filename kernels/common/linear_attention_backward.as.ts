// The backward pass of linear attention over one head, from its last chunk of 64 tokens to its first. The state at the
// start of a chunk is given; those at the starts of its segments (linear_attention_segment) are computed again. A segment
// is differentiated in closed form, so the triangular system of the delta rules is solved once more, transposed, and not
// differentiated through. Gradients of q̂, k̂, k̃ are taken in the variables that are not decayed.
import { FULL, LOWER, LOWER_RESULT, multiply, transpose, UPPER } from "./block_gemm.as";
import { loadLanes, storeLanes } from "./lanes.as";
import { CHUNK } from "./linear_attention.as";
import * as segment from "./linear_attention_segment.as";
import { dotRow } from "./rows.as";
import { fma, fnma } from "./simd.as";

/** States at segment starts that are kept; those of later segments of a chunk (very strong decay) are recomputed. */
const SLOTS = 8;

// Matrices beside the segment's own.
/** dy of each reader, then W, the gradient of E: [blocks][LENGTH][p]. */
let DY: usize = 0;
/** Gradient of U [LENGTH][p]. */
let DU: usize = 0;
/** Uᵀ [p][LENGTH]. */
let UT: usize = 0;
/** Gradient of P, without its diagonal: [blocks][LENGTH][LENGTH]. */
let DP: usize = 0;
/** Diagonal of the gradient of P of each reader: [readers][LENGTH]. */
let diagonal: usize = 0;
/** Gradient of Q: [blocks][LENGTH][n]. */
let DQ: usize = 0;
/** Gradients of k̂: through the pairs of tokens, and through the state after the segment. [LENGTH][n]. */
let DK: usize = 0;
let DK_STATE: usize = 0;
/** Gradient of the state [n][p], and it and the state transposed, [p][n]. */
export let DS: usize = 0;
let DST: usize = 0;
let ST: usize = 0;
/** Sums that become the gradient of the decay, by key or by token. */
let constant: usize = 0;
let running: usize = 0;
/** The same per token, where the decay is per head: through reads, and through the state after. [LENGTH]. */
let reads: usize = 0;
let writes: usize = 0;
/** Segments of the chunk at hand: first token of each (i32). */
let firsts: usize = 0;
/** Padded states [SLOTS + 1][n][p]. */
let slots: usize = 0;

// The head's rows of the outputs, and of dy: address of token 0 (0: not wanted, or zeros), bytes from token to token, and
// whether they are added to what is there.
let dq: usize = 0;
let dqStride: i32 = 0;
let dqAdd: bool = false;
let dk: usize = 0;
let dkStride: i32 = 0;
let dkAdd: bool = false;
let dv: usize = 0;
let dvStride: i32 = 0;
let ddecay: usize = 0;
let ddecayStride: i32 = 0;
let dbeta: usize = 0;
let dbetaStride: i32 = 0;
let dy: usize = 0;
let dyStride: i32 = 0;
let outputScale: f32 = 1;

export function takeKeyGradients(q: usize, qStride: i32, qAdd: bool, k: usize, kStride: i32, kAdd: bool, scale: f32): void {
  dq = q;
  dqStride = qStride;
  dqAdd = qAdd;
  dk = k;
  dkStride = kStride;
  dkAdd = kAdd;
  outputScale = scale;
}

export function takeValueGradients(
  v: usize, vStride: i32, decay: usize, decayStride: i32, beta: usize, betaStride: i32, y: usize, yStride: i32,
): void {
  dv = v;
  dvStride = vStride;
  ddecay = decay;
  ddecayStride = decayStride;
  dbeta = beta;
  dbetaStride = betaStride;
  dy = y;
  dyStride = yStride;
}

/** Lays out from `base` all that a head needs. Sizes: src/ops/linear-attention-gradient/wasm.ts. */
export function layOut(base: usize): void {
  const keyRow = segment.keyRow;
  const valueRow = segment.valueRow;
  const blocks = segment.blocks;
  DY = segment.layOut(base);
  DU = DY + blocks * segment.LENGTH * valueRow;
  UT = DU + segment.LENGTH * valueRow;
  DP = UT + segment.p * segment.TOKEN_ROW;
  diagonal = DP + blocks * segment.SCORE_BLOCK;
  DQ = diagonal + blocks * segment.TOKEN_ROW;
  DK = DQ + blocks * segment.queryBlock();
  DK_STATE = DK + segment.queryBlock();
  DS = DK_STATE + segment.queryBlock();
  DST = DS + segment.n * valueRow;
  ST = DST + segment.p * keyRow;
  constant = ST + segment.p * keyRow;
  running = constant + max(keyRow, segment.TOKEN_ROW);
  reads = running + max(keyRow, segment.TOKEN_ROW);
  writes = reads + segment.TOKEN_ROW;
  firsts = writes + segment.TOKEN_ROW;
  slots = firsts + (CHUNK + 16 << 2);
}

/** The state that segment `index` of the chunk starts from; forward through the chunk where it is not kept. */
function startOf(index: i32): usize {
  const bytes = segment.n * segment.valueRow;
  if (index < SLOTS) return slots + index * bytes;
  let from = slots + (SLOTS - 1) * bytes;
  for (let i = SLOTS - 1; i < index; i++) {
    const to = slots + SLOTS * bytes;
    step(i, from, to);
    from = to;
  }
  return from;
}

/** From the state at the start of a segment to the one after it. */
function step(index: i32, from: usize, to: usize): void {
  const first = load<i32>(firsts + (index << 2));
  const tokens = load<i32>(firsts + (index + 1 << 2)) - first;
  segment.prepare(first, tokens);
  segment.correct(from, tokens);
  segment.advance(from, to, tokens);
}

/** Gradients of one chunk, tokens `first` to `end`; DS goes from the state after it to the state before it. */
export function chunkGradient(start: usize, stateStride: i32, first: i32, end: i32): void {
  let count = 0;
  for (let t = first; t < end; ) {
    store<i32>(firsts + (count++ << 2), t);
    t += segment.segmentLength(t, end - t);
  }
  store<i32>(firsts + (count << 2), end);
  const bytes = segment.n * segment.valueRow;
  segment.loadState(slots, start, stateStride);
  for (let i = 0; i + 1 < min(count, SLOTS); i++) step(i, slots + i * bytes, slots + (i + 1) * bytes);
  for (let i = count - 1; i >= 0; i--) {
    const t = load<i32>(firsts + (i << 2));
    segmentGradient(startOf(i), t, load<i32>(firsts + (i + 1 << 2)) - t);
  }
}

function segmentGradient(state: usize, first: i32, tokens: i32): void {
  const n = segment.n;
  const p = segment.p;
  const keyRow = segment.keyRow;
  const valueRow = segment.valueRow;
  const tokenRow = segment.TOKEN_ROW;
  const blocks = segment.blocks;
  const readers = segment.readers;
  const padded = segment.paddedTokens(tokens);
  const valueBlock = segment.LENGTH * valueRow;
  const scoreBlock = segment.SCORE_BLOCK;
  const queryBlock = segment.queryBlock();

  segment.prepare(first, tokens);
  segment.score(tokens);
  segment.correct(state, tokens);
  segment.decayRows(DS);

  for (let r = 0; r < readers; r++) {
    for (let i = 0; i < padded; i++) {
      const to = DY + r * valueBlock + i * valueRow;
      if (dy == 0 || i >= tokens) memory.fill(to, 0, p << 2);
      else segment.scaleRow(to, dy + (first + i) * dyStride + (r * segment.values << 2), segment.values, p, 1);
    }
  }
  multiply(DU, valueRow, 0, segment.K, keyRow, 4, DS, valueRow, padded, p, n, FULL);
  for (let r = 0; r < readers; r++) {
    multiply(DU, valueRow, DU, segment.P + r * scoreBlock, 4, tokenRow, DY + r * valueBlock, valueRow, padded, p, padded, UPPER);
  }
  if (segment.delta) correctGradient(first, tokens, padded);
  if (dv != 0) {
    const from = segment.delta ? DY + readers * valueBlock : DU;
    for (let i = 0; i < tokens; i++) memory.copy(dv + (first + i) * dvStride, from + i * valueRow, segment.values << 2);
  }

  transpose(UT, tokenRow, segment.U, valueRow, padded, p);
  transpose(ST, keyRow, state, valueRow, n, p);
  transpose(DST, keyRow, DS, valueRow, n, p);
  for (let block = 0; block < blocks; block++) {
    const square = DP + block * scoreBlock;
    multiply(square, tokenRow, 0, DY + block * valueBlock, valueRow, 4, UT, tokenRow, padded, padded, p, LOWER_RESULT);
    for (let i = 0; i < tokens; i++) {
      store<f32>(diagonal + block * tokenRow + (i << 2), load<f32>(square + i * (tokenRow + 4)));
    }
    segment.clearUpper(square, padded, 0);
    multiply(DQ + block * queryBlock, keyRow, 0, DY + block * valueBlock, valueRow, 4, ST, keyRow, padded, n, p, FULL);
  }
  multiply(DK_STATE, keyRow, 0, segment.U, valueRow, 4, DST, keyRow, padded, n, p, FULL);
  const perHead = ddecay != 0 && !segment.perKey;
  if (perHead) {
    for (let i = 0; i < tokens; i++) {
      let sum: f32 = 0;
      for (let block = 0; block < blocks; block++) {
        const row = block * queryBlock + i * keyRow;
        sum += dotRow(segment.Q + row, DQ + row, n);
      }
      store<f32>(reads + (i << 2), sum);
      store<f32>(writes + (i << 2), dotRow(segment.K + i * keyRow, DK_STATE + i * keyRow, n));
    }
  }
  for (let block = 0; block < blocks; block++) {
    const square = DP + block * scoreBlock;
    const rows = DQ + block * queryBlock;
    multiply(rows, keyRow, rows, square, tokenRow, 4, segment.K, keyRow, padded, n, padded, LOWER);
    multiply(
      DK, keyRow, block == 0 ? 0 : DK, square, 4, tokenRow, segment.Q + block * queryBlock, keyRow,
      padded, n, padded, UPPER,
    );
  }
  if (perHead) headDecayGradient(state, first, tokens);
  else if (ddecay != 0) keyDecayGradient(state, first, tokens);
  for (let i = 0; i < tokens; i++) {
    if (dq != 0) queryGradient(first, i);
    if (dk != 0) keyGradient(first, i);
  }
  for (let block = 0; block < blocks; block++) {
    multiply(DS, valueRow, DS, segment.Q + block * queryBlock, 4, keyRow, DY + block * valueBlock, valueRow, n, p, padded, FULL);
  }
}

/** W = β G, where G = dU + P₋ᵀ W (P₋ the block of k̃): the transposed system, solved backwards; dβ = G · E. */
function correctGradient(first: i32, tokens: i32, padded: i32): void {
  const valueRow = segment.valueRow;
  const tokenRow = segment.TOKEN_ROW;
  const p = segment.p;
  const square = segment.P + segment.readers * segment.SCORE_BLOCK;
  const W = DY + segment.readers * segment.LENGTH * valueRow;
  for (let i = padded - 8; i >= 0; i -= 8) {
    const next = i + 8;
    const g = DU + i * valueRow;
    if (next < padded) {
      multiply(
        g, valueRow, g, square + next * tokenRow + (i << 2), 4, tokenRow, W + next * valueRow, valueRow,
        8, p, padded - next, FULL,
      );
    }
    for (let t = next - 1; t >= i; t--) {
      const row = DU + t * valueRow;
      for (let s = t + 1; s < next; s++) {
        segment.addRow(row, W + s * valueRow, p, load<f32>(square + s * tokenRow + (t << 2)));
      }
      segment.scaleRow(W + t * valueRow, row, p, p, load<f32>(segment.betas + (t << 2)));
      if (dbeta != 0 && t < tokens) store<f32>(dbeta + (first + t) * dbetaStride, dotRow(row, segment.E + t * valueRow, p));
    }
  }
}

/**
 * Each way from a write at j to a read at i is decayed by the tokens j < t ≤ i, so its gradient counts for those: sums
 * over what straddles t, in which nothing cancels.
 */
function headDecayGradient(state: usize, first: i32, tokens: i32): void {
  const tokenRow = segment.TOKEN_ROW;
  let sum: f32 = 0;
  for (let i = 0; i < segment.n; i++) sum += dotRow(state + i * segment.valueRow, DS + i * segment.valueRow, segment.p);
  const sums = constant;
  // What passes through the whole segment, and what was written before t and leaves it.
  for (let t = 0; t < tokens; t++) {
    store<f32>(running + (t << 2), sum);
    sum += load<f32>(writes + (t << 2));
  }
  // What came in and is read at t or later.
  let read: f32 = 0;
  for (let t = tokens - 1; t >= 0; t--) {
    read += load<f32>(reads + (t << 2));
    store<f32>(sums + (t << 2), load<f32>(running + (t << 2)) + read);
  }
  // Pairs inside.
  for (let i = 1; i < tokens; i++) {
    let before: f32 = 0;
    for (let j = 0; j < i; j++) {
      for (let block = 0; block < segment.blocks; block++) {
        const at = block * segment.SCORE_BLOCK + i * tokenRow + (j << 2);
        before += load<f32>(segment.P + at) * load<f32>(DP + at);
      }
      const t = sums + (j + 1 << 2);
      store<f32>(t, load<f32>(t) + before);
    }
  }
  for (let t = 0; t < tokens; t++) store<f32>(ddecay + (first + t) * ddecayStride, load<f32>(sums + (t << 2)));
}

/** The same per key; pairs by rows and columns: Σ over i ≥ t of (what is read at i less what is written at i and read later). */
function keyDecayGradient(state: usize, first: i32, tokens: i32): void {
  const keyRow = segment.keyRow;
  const keys = segment.keys;
  for (let i = 0; i < segment.n; i++) {
    store<f32>(constant + (i << 2), dotRow(state + i * segment.valueRow, DS + i * segment.valueRow, segment.p));
  }
  for (let c = 0; c < keys; c += 4) {
    const lanes = keys - c;
    const column = c << 2;
    let written = v128.load(constant + column);
    for (let t = 0; t < tokens; t++) {
      const at = t * keyRow + column;
      storeLanes(ddecay + (first + t) * ddecayStride + column, written, lanes);
      written = fma(v128.load(segment.K + at), v128.load(DK_STATE + at), written);
    }
    let read = f32x4.splat(0);
    for (let t = tokens - 1; t >= 0; t--) {
      const at = t * keyRow + column;
      let here = f32x4.neg(f32x4.mul(v128.load(segment.K + at), v128.load(DK + at)));
      for (let block = 0; block < segment.blocks; block++) {
        const row = block * segment.queryBlock() + at;
        here = fma(v128.load(segment.Q + row), v128.load(DQ + row), here);
      }
      read = f32x4.add(read, here);
      const to = ddecay + (first + t) * ddecayStride + column;
      storeLanes(to, f32x4.add(loadLanes(to, lanes), read), lanes);
    }
  }
}

/** dq = scale (e^cs dq̂ + dP_tt k) of token i of the segment, for each reader. */
function queryGradient(first: i32, i: i32): void {
  const bytes = segment.keys << 2;
  const perKey = segment.perKey;
  const grows = segment.grows + (perKey ? i * segment.keyRow : i << 2);
  const grow = v128.load_splat<f32>(grows);
  const k = segment.keyAt(first + i);
  const add = dqAdd;
  const scale = f32x4.splat(outputScale);
  for (let r = 0; r < segment.readers; r++) {
    const to = dq + (first + i) * dqStride + r * bytes;
    const from = DQ + r * segment.queryBlock() + i * segment.keyRow;
    const own = v128.load_splat<f32>(diagonal + r * segment.TOKEN_ROW + (i << 2));
    for (let c = 0; c < bytes; c += 16) {
      const lanes = bytes - c >> 2;
      const factor = perKey ? v128.load(grows + c) : grow;
      const sum = f32x4.mul(scale, fma(factor, v128.load(from + c), f32x4.mul(own, loadLanes(k + c, lanes))));
      storeLanes(to + c, add ? f32x4.add(loadLanes(to + c, lanes), sum) : sum, lanes);
    }
  }
}

/** dk = e^-cs dk̂ - e^cs dk̃ + scale Σ dP_tt q of token i of the segment. */
function keyGradient(first: i32, i: i32): void {
  const bytes = segment.keys << 2;
  const row = i * segment.keyRow;
  const perKey = segment.perKey;
  const factors = perKey ? row : i << 2;
  const grows = segment.grows + factors;
  const shrinks = segment.shrinks + factors;
  const grow = v128.load_splat<f32>(grows);
  const shrink = v128.load_splat<f32>(shrinks);
  const pairs = DK + row;
  const state = DK_STATE + row;
  const delta = segment.delta;
  const corrected = DQ + segment.readers * segment.queryBlock() + row;
  const readers = segment.readers;
  const q = segment.queryAt(first + i);
  const own = diagonal + (i << 2);
  const scale = outputScale;
  const to = dk + (first + i) * dkStride;
  const add = dkAdd;
  for (let c = 0; c < bytes; c += 16) {
    const lanes = bytes - c >> 2;
    let sum = f32x4.mul(f32x4.add(v128.load(pairs + c), v128.load(state + c)), perKey ? v128.load(shrinks + c) : shrink);
    if (delta) sum = fnma(perKey ? v128.load(grows + c) : grow, v128.load(corrected + c), sum);
    for (let r = 0; r < readers; r++) {
      const weight = f32x4.splat(scale * load<f32>(own + r * segment.TOKEN_ROW));
      sum = fma(weight, loadLanes(q + r * bytes + c, lanes), sum);
    }
    storeLanes(to + c, add ? f32x4.add(loadLanes(to + c, lanes), sum) : sum, lanes);
  }
}
