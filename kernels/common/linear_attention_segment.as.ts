// A segment of linear attention in chunked form: at most 32 tokens of one head, as products of small matrices. With
// cs the running sum of the log decay since the segment's start, the state relative to its decay is not decayed at all:
//     q̂ = scale e^cs q,  k̂ = e^-cs k,  k̃ = -e^cs k        (delta rules only: k̃)
//     E = v + k̃ S + tril(k̃ k̂ᵀ, -1) U,  U = β E            (delta rules; otherwise U = v)
//     y = q̂ S + tril(q̂ k̂ᵀ) U,  S after = e^cs (S + k̂ᵀ U)
// where S is the state at the start (Yang et al. 2024, "Parallelizing linear transformers with the delta rule", and
// Dao & Gu 2024, section 6, in these variables). k̃ acts as one more query whose output is E, so both are rows of Q.
// Padding is zero: heads are padded to 8 keys and 8 values, segments to 8 tokens.
import { LOWER_RESULT, FULL, multiply, transpose } from "./block_gemm.as";
import { loadLanes } from "./lanes.as";
import { beyondLimit, exponentials, LIMIT, limited, limitedLanes } from "./linear_attention.as";
import { exp } from "./math.as";
import { fma } from "./simd.as";

/** Most tokens of a segment. */
export const LENGTH: i32 = 32;
/** Bytes from one row of a matrix with a column per token to the next; off a power of two, as all rows here. */
export const TOKEN_ROW: i32 = (LENGTH + 16) << 2;

// The head at hand. Module state is a thread's own: every thread has its own instance of the module.
export let keys: i32 = 0;
export let values: i32 = 0;
/** Keys and values, padded. */
export let n: i32 = 0;
export let p: i32 = 0;
export let keyRow: i32 = 0;
export let valueRow: i32 = 0;
export let readers: i32 = 0;
/** Readers, and one more for the delta rules: groups of LENGTH rows of Q and P. */
export let blocks: i32 = 0;
export let delta: bool = false;
export let perKey: bool = false;
let scale: f32 = 0;

// Where its rows start (token 0), and bytes from token to token.
let query: usize = 0;
let key: usize = 0;
let value: usize = 0;
let decay: usize = 0;
let beta: usize = 0;
let queryStride: i32 = 0;
let keyStride: i32 = 0;
let valueStride: i32 = 0;
let decayStride: i32 = 0;
let betaStride: i32 = 0;

// Matrices of the segment.
/** q̂ of each reader, then k̃: [blocks][LENGTH][n]. */
export let Q: usize = 0;
/** k̂ [LENGTH][n]. */
export let K: usize = 0;
/** k̂ᵀ [n][LENGTH]. */
let KT: usize = 0;
/** v [LENGTH][p]. */
let V: usize = 0;
/** E [LENGTH][p]; delta rules only. */
export let E: usize = 0;
/** U [LENGTH][p]; V without a delta rule. */
export let U: usize = 0;
/** tril(q̂ k̂ᵀ) of each reader, then tril(k̃ k̂ᵀ, -1): [blocks][LENGTH][LENGTH]. */
export let P: usize = 0;
/** e^cs and e^-cs: [LENGTH + 4] per head, or [LENGTH][n]. */
export let grows: usize = 0;
export let shrinks: usize = 0;
/** Decay of the whole segment by key, [n]. */
let factors: usize = 0;
export let betas: usize = 0;
let sums: usize = 0;

/** Bytes from one block of Q or P to the next. */
// @ts-ignore: decorator
@inline
export function queryBlock(): i32 {
  return LENGTH * keyRow;
}
export const SCORE_BLOCK: i32 = LENGTH * TOKEN_ROW;

/** Describes the heads of a kernel call: sizes, rule. `columns`: the value columns that are computed. */
export function describe(keyDim: i32, columns: i32, readerCount: i32, isDelta: bool, decayPerKey: bool, scaleFactor: f32): void {
  keys = keyDim;
  values = columns;
  n = (keyDim + 7) & ~7;
  p = (columns + 7) & ~7;
  keyRow = (n + 16) << 2;
  valueRow = (p + 16) << 2;
  readers = readerCount;
  delta = isDelta;
  blocks = readers + (delta ? 1 : 0);
  perKey = decayPerKey;
  scale = scaleFactor;
}

/** Lays the segment's matrices out from `base`; returns the first byte after them. Sizes: segmentBytes in wasm.ts. */
export function layOut(base: usize): usize {
  Q = base;
  K = Q + blocks * queryBlock();
  KT = K + queryBlock();
  V = KT + n * TOKEN_ROW;
  E = V + LENGTH * valueRow;
  U = delta ? E + LENGTH * valueRow : V;
  P = E + 2 * LENGTH * valueRow;
  grows = P + blocks * SCORE_BLOCK;
  shrinks = grows + LENGTH * keyRow;
  factors = shrinks + LENGTH * keyRow;
  betas = factors + keyRow;
  sums = betas + TOKEN_ROW;
  return sums + keyRow + TOKEN_ROW;
}

/** Takes the rows of a head: address of its token 0 and bytes from token to token, for each input. */
export function takeHead(
  q: usize, qStride: i32, k: usize, kStride: i32, v: usize, vStride: i32,
  gate: usize, gateStride: i32, strength: usize, strengthStride: i32,
): void {
  query = q;
  queryStride = qStride;
  key = k;
  keyStride = kStride;
  value = v;
  valueStride = vStride;
  decay = gate;
  decayStride = gateStride;
  beta = strength;
  betaStride = strengthStride;
}

/** Row t of the head's q (of its first reader) and k. */
// @ts-ignore: decorator
@inline
export function queryAt(t: i32): usize {
  return query + t * queryStride;
}
// @ts-ignore: decorator
@inline
export function keyAt(t: i32): usize {
  return key + t * keyStride;
}

/** Number of tokens from t on, at most `most`, that one segment can hold. */
export function segmentLength(t: i32, most: i32): i32 {
  most = min(most, LENGTH);
  if (decay == 0) return most;
  let gate = decay + t * decayStride;
  if (!perKey) {
    let sum: f32 = 0;
    for (let i = 0; i < most; i++) {
      sum += limited(load<f32>(gate));
      if (i > 0 && abs(sum) > LIMIT) return i;
      gate += decayStride;
    }
    return most;
  }
  memory.fill(sums, 0, n << 2);
  for (let i = 0; i < most; i++) {
    let beyond = false;
    for (let c = 0; c < keys; c += 4) {
      const sum = f32x4.add(v128.load(sums + (c << 2)), limitedLanes(loadLanes(gate + (c << 2), keys - c)));
      v128.store(sums + (c << 2), sum);
      beyond = beyond || beyondLimit(sum);
    }
    if (i > 0 && beyond) return i;
    gate += decayStride;
  }
  return most;
}

/** to[0 .. padded) = from[0 .. columns) * factor, zeros after. */
export function scaleRow(to: usize, from: usize, columns: i32, padded: i32, factor: f32): void {
  const splat = f32x4.splat(factor);
  let left = columns;
  for (; left >= 16; left -= 16) {
    v128.store(to, f32x4.mul(splat, v128.load(from)));
    v128.store(to, f32x4.mul(splat, v128.load(from, 16)), 16);
    v128.store(to, f32x4.mul(splat, v128.load(from, 32)), 32);
    v128.store(to, f32x4.mul(splat, v128.load(from, 48)), 48);
    to += 64;
    from += 64;
  }
  for (; left > 0; left -= 4) {
    v128.store(to, f32x4.mul(splat, loadLanes(from, left)));
    to += 16;
    from += 16;
  }
  for (let rest = padded - (columns + 3 & ~3); rest > 0; rest -= 4) {
    v128.store(to, f32x4.splat(0));
    to += 16;
  }
}

/** The same with a factor for each column. */
function scaleRowBy(to: usize, from: usize, columns: i32, padded: i32, by: usize, factor: f32): void {
  const splat = f32x4.splat(factor);
  let c = 0;
  for (; c < columns; c += 4) {
    const x = f32x4.mul(splat, loadLanes(from + (c << 2), columns - c));
    v128.store(to + (c << 2), f32x4.mul(x, v128.load(by + (c << 2))));
  }
  for (; c < padded; c += 4) v128.store(to + (c << 2), f32x4.splat(0));
}

/** to += from * factor over `columns`, a multiple of 4. */
// @ts-ignore: decorator
@inline
export function addRow(to: usize, from: usize, columns: i32, factor: f32): void {
  const splat = f32x4.splat(factor);
  for (let c = 0; c < columns << 2; c += 16) {
    v128.store(to + c, fma(splat, v128.load(from + c), v128.load(to + c)));
  }
}

/** Tokens padded to a multiple of 8. */
// @ts-ignore: decorator
@inline
export function paddedTokens(tokens: i32): i32 {
  return (tokens + 7) & ~7;
}

/** Fills Q, K, KT, V, betas and the decay factors for tokens t .. t + tokens. */
export function prepare(t: i32, tokens: i32): void {
  const padded = paddedTokens(tokens);
  prepareDecay(t, tokens);
  for (let i = 0; i < padded; i++) {
    const row = i * keyRow;
    if (i >= tokens) {
      for (let block = 0; block < blocks; block++) memory.fill(Q + block * queryBlock() + row, 0, n << 2);
      memory.fill(K + row, 0, n << 2);
      memory.fill(V + i * valueRow, 0, p << 2);
      store<f32>(betas + (i << 2), 0);
      continue;
    }
    scaleRow(V + i * valueRow, value + (t + i) * valueStride, values, p, 1);
    const q = queryAt(t + i);
    const k = keyAt(t + i);
    if (perKey) {
      for (let r = 0; r < readers; r++) scaleRowBy(Q + r * queryBlock() + row, q + (r * keys << 2), keys, n, grows + row, scale);
      scaleRowBy(K + row, k, keys, n, shrinks + row, 1);
      if (delta) scaleRowBy(Q + readers * queryBlock() + row, k, keys, n, grows + row, -1);
    } else {
      const grow = load<f32>(grows + (i << 2));
      for (let r = 0; r < readers; r++) scaleRow(Q + r * queryBlock() + row, q + (r * keys << 2), keys, n, scale * grow);
      scaleRow(K + row, k, keys, n, load<f32>(shrinks + (i << 2)));
      if (delta) scaleRow(Q + readers * queryBlock() + row, k, keys, n, -grow);
    }
    if (delta) store<f32>(betas + (i << 2), load<f32>(beta + (t + i) * betaStride));
  }
  transpose(KT, TOKEN_ROW, K, keyRow, padded, n);
}

function prepareDecay(t: i32, tokens: i32): void {
  if (decay == 0) {
    for (let i = 0; i < LENGTH << 2; i += 16) {
      v128.store(grows + i, f32x4.splat(1));
      v128.store(shrinks + i, f32x4.splat(1));
    }
    return;
  }
  let gate = decay + t * decayStride;
  if (!perKey) {
    let sum: f32 = 0;
    for (let i = 0; i < tokens; i++) {
      sum += limited(load<f32>(gate));
      store<f32>(sums + (i << 2), sum);
      gate += decayStride;
    }
    for (let i = tokens; i < (tokens + 3 & ~3); i++) store<f32>(sums + (i << 2), 0);
    exponentials(sums, tokens, grows, shrinks);
    const factor = v128.load_splat<f32>(grows + (tokens - 1 << 2));
    for (let c = 0; c < n << 2; c += 16) v128.store(factors + c, factor);
    return;
  }
  memory.fill(factors, 0, n << 2);
  for (let c = 0; c < keys; c += 4) {
    let at = gate + (c << 2);
    let to = c << 2;
    let sum = f32x4.splat(0);
    let grow = sum;
    for (let i = 0; i < tokens; i++) {
      sum = f32x4.add(sum, limitedLanes(loadLanes(at, keys - c)));
      grow = exp(sum);
      v128.store(grows + to, grow);
      v128.store(shrinks + to, exp(f32x4.neg(sum)));
      at += decayStride;
      to += keyRow;
    }
    v128.store(factors + (c << 2), grow);
  }
}

/** Zeros a square of P beyond its diagonal, `keep` 1 keeping the diagonal itself. */
export function clearUpper(square: usize, padded: i32, keep: i32): void {
  for (let i = 0; i < padded; i++) {
    const from = i + keep;
    if (from < padded) memory.fill(square + i * TOKEN_ROW + (from << 2), 0, padded - from << 2);
  }
}

/** P of the readers. */
export function score(tokens: i32): void {
  const padded = paddedTokens(tokens);
  for (let r = 0; r < readers; r++) {
    const square = P + r * SCORE_BLOCK;
    multiply(square, TOKEN_ROW, 0, Q + r * queryBlock(), keyRow, 4, KT, TOKEN_ROW, padded, padded, n, LOWER_RESULT);
    clearUpper(square, padded, 1);
  }
}

/** E, U and the last block of P, for the delta rules: a triangular system solved in blocks of 8 tokens. */
export function correct(state: usize, tokens: i32): void {
  if (!delta) return;
  const padded = paddedTokens(tokens);
  const rows = Q + readers * queryBlock();
  const square = P + readers * SCORE_BLOCK;
  multiply(square, TOKEN_ROW, 0, rows, keyRow, 4, KT, TOKEN_ROW, padded, padded, n, LOWER_RESULT);
  clearUpper(square, padded, 0);
  multiply(E, valueRow, V, rows, keyRow, 4, state, valueRow, padded, p, n, FULL);
  for (let i = 0; i < padded; i += 8) {
    const e = E + i * valueRow;
    if (i > 0) multiply(e, valueRow, e, square + i * TOKEN_ROW, TOKEN_ROW, 4, U, valueRow, 8, p, i, FULL);
    for (let t = i; t < i + 8; t++) {
      const row = E + t * valueRow;
      for (let s = i; s < t; s++) addRow(row, U + s * valueRow, p, load<f32>(square + t * TOKEN_ROW + (s << 2)));
      scaleRow(U + t * valueRow, row, p, p, load<f32>(betas + (t << 2)));
    }
  }
}

/** The state after the segment, from the state before it; they may be the same. */
export function advance(from: usize, to: usize, tokens: i32): void {
  multiply(to, valueRow, from, K, 4, keyRow, U, valueRow, n, p, paddedTokens(tokens), FULL);
  decayRows(to);
}

/** Multiplies the rows of a state, or of its gradient, by the decay of the segment. */
export function decayRows(state: usize): void {
  if (decay == 0) return;
  let row = state;
  for (let i = 0; i < n; i++) {
    scaleRow(row, row, p, p, load<f32>(factors + (i << 2)));
    row += valueRow;
  }
}

/** A padded state from one in place, `stride` bytes from row to row; 0 is zeros. */
export function loadState(to: usize, from: usize, stride: i32): void {
  for (let i = 0; i < n; i++) {
    if (from == 0 || i >= keys) memory.fill(to + i * valueRow, 0, p << 2);
    else scaleRow(to + i * valueRow, from + i * stride, values, p, 1);
  }
}

/** The state in place from a padded one. */
export function storeState(from: usize, to: usize, stride: i32): void {
  for (let i = 0; i < keys; i++) memory.copy(to + i * stride, from + i * valueRow, values << 2);
}
