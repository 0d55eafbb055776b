// attention, backward: dq, dk, dv and dsink from q, k, v, y, lse and dy (FlashAttention-2, arXiv:2307.08691, Algorithm 2):
// P = exp(S - lse) is recomputed tile by tile, D = rowsum(dy ∘ y), dS = P ∘ (dy vᵀ - D), dv = Pᵀ dy, dq = dS k, dk = dSᵀ q.
// Parallel over (batch row, key head, split): a unit owns dk and dv of its head, summed over its query group in order;
// with splits > 1 (heads that do not divide evenly among threads) each split takes some row tiles and its own partial sums.
import { integer, pointer, scalar } from "../common/args.as";
import { storeLanes } from "../common/lanes.as";
import { exp2NonPositive, tanh } from "../common/math.as";
import { fma, fnma } from "../common/simd.as";
import { accumulate, copyRows, packPanel, packRows, scores16 } from "../common/tiles.as";

const LOG2_E: f32 = 1.44269504088896340736;

// The sizes of the call. Each thread has its own instance, hence its own copy.
let Tq: i32 = 0;
let Tk: i32 = 0;
let queryHeads: i32 = 0;
let keyHeads: i32 = 0;
let group: i32 = 0;
let d: i32 = 0;
let dv: i32 = 0;
let keyColumns: i32 = 0;
let valueColumns: i32 = 0;
let scale: f32 = 0;
let causal: bool = false;
let window: i32 = 0;
let softcap: f32 = 0;
let tileRows: i32 = 0;
let tileKeys: i32 = 0;

// Scratch of this thread.
let keyPanels: usize = 0;
let gradientPanels: usize = 0;
let queryRows: usize = 0;
let gradientRows: usize = 0;
let queryGradient: usize = 0;
let positions: usize = 0;
let normalisers: usize = 0;
let deltas: usize = 0;
let weights: usize = 0;
let scoreGradients: usize = 0;
let paddedKeys: usize = 0;
let outputPanel: usize = 0;

// Where dk and dv of this unit are summed; 0 if not wanted.
let keyGradient: usize = 0;
let keyGradientStride: usize = 0;
let valueGradient: usize = 0;
let valueGradientStride: usize = 0;

/**
 * args: 0 q, 1 k, 2 v, 3 y, 4 lse, 5 dy?, 6 sink, 7 dlse, 8 dq, 9 dk, 10 dv, 11 sink partials [B·Hk·splits][Hq/Hk],
 * 12 scratch, 13 bytes of scratch per thread, 14 dk partials, 15 dv partials ([splits][B][Hk][Tk][columns], columns padded
 * to 4; 0: sum into the outputs), 16 B, 17 Tq, 18 Tk, 19 Hq, 20 Hk, 21 d, 22 dv, 23 scale, 24 causal, 25 window,
 * 26 softcap, 27 rows per tile (a multiple of 16), 28 keys per tile, 29 splits.
 */
export function attention_gradient(args: usize, thread: i32, threads: i32): void {
  Tq = integer(args, 17);
  Tk = integer(args, 18);
  queryHeads = integer(args, 19);
  keyHeads = integer(args, 20);
  group = queryHeads / keyHeads;
  d = integer(args, 21);
  dv = integer(args, 22);
  keyColumns = (d + 3) & ~3;
  valueColumns = (dv + 3) & ~3;
  scale = scalar(args, 23);
  causal = integer(args, 24) != 0;
  window = integer(args, 25);
  softcap = scalar(args, 26);
  tileRows = integer(args, 27);
  tileKeys = integer(args, 28);
  const splits = integer(args, 29);
  const B = integer(args, 16);

  keyPanels = pointer(args, 12) + <usize>thread * <usize>integer(args, 13);
  gradientPanels = keyPanels + (<usize>(tileRows * d) << 2);
  queryRows = gradientPanels + (<usize>(tileRows * dv) << 2);
  gradientRows = queryRows + (<usize>(tileRows * keyColumns) << 2);
  queryGradient = gradientRows + (<usize>(tileRows * valueColumns) << 2);
  positions = queryGradient + (<usize>(tileRows * keyColumns) << 2);
  normalisers = positions + (<usize>tileRows << 2);
  deltas = normalisers + (<usize>tileRows << 2);
  weights = deltas + (<usize>tileRows << 2);
  scoreGradients = weights + (<usize>(tileKeys * tileRows) << 2);
  paddedKeys = scoreGradients + (<usize>(tileKeys * tileRows) << 2);
  outputPanel = paddedKeys + (keyColumns != d ? <usize>(tileKeys * keyColumns) << 2 : 0);

  const tiles = (Tq * group + tileRows - 1) / tileRows;
  const units = B * keyHeads * splits;
  for (let unit = thread; unit < units; unit += threads) {
    const split = unit % splits;
    const head = (unit / splits) % keyHeads;
    const b = unit / (splits * keyHeads);
    const row = <usize>((split * B + b) * keyHeads + head) * <usize>Tk;
    const place = <usize>(b * Tk * keyHeads + head);
    if (pointer(args, 14)) {
      keyGradientStride = <usize>keyColumns << 2;
      keyGradient = pointer(args, 14) + row * keyGradientStride;
    } else {
      keyGradientStride = <usize>(keyHeads * d) << 2;
      keyGradient = pointer(args, 9) ? pointer(args, 9) + (place * <usize>d << 2) : 0;
    }
    if (pointer(args, 15)) {
      valueGradientStride = <usize>valueColumns << 2;
      valueGradient = pointer(args, 15) + row * valueGradientStride;
    } else {
      valueGradientStride = <usize>(keyHeads * dv) << 2;
      valueGradient = pointer(args, 10) ? pointer(args, 10) + (place * <usize>dv << 2) : 0;
    }
    for (let j = 0; j < Tk; j++) {
      if (keyGradient) memory.fill(keyGradient + <usize>j * keyGradientStride, 0, <usize>keyColumns << 2);
      if (valueGradient) memory.fill(valueGradient + <usize>j * valueGradientStride, 0, <usize>valueColumns << 2);
    }
    const sinkPartial = pointer(args, 11) ? pointer(args, 11) + (<usize>(unit * group) << 2) : 0;
    if (sinkPartial) memory.fill(sinkPartial, 0, <usize>group << 2);
    // Row tiles are dealt to the splits in zigzag, since under a causal mask later ones cost more, and each head begins with
    // another split.
    const turn = (split + b * keyHeads + head) % splits;
    for (let tile = 0; tile < tiles; tile++) {
      const place = tile % splits;
      if (((tile / splits) & 1 ? splits - 1 - place : place) == turn) rowTile(args, b, head, tile * tileRows, sinkPartial);
    }
  }
}

/**
 * D = rowsum(dy ∘ y) of 16 rows, added up as scores16 adds up dy·v: where a row sees one key only, y = v, the two cancel
 * exactly and so does its dS.
 */
function dotPanels(x: usize, y: usize, out: usize): void {
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let e = a;
  for (let channel = 0; channel < dv; channel++) {
    a = fma(v128.load(x), v128.load(y), a);
    b = fma(v128.load(x, 16), v128.load(y, 16), b);
    c = fma(v128.load(x, 32), v128.load(y, 32), c);
    e = fma(v128.load(x, 48), v128.load(y, 48), e);
    x += 64;
    y += 64;
  }
  v128.store(out, a);
  v128.store(out, b, 16);
  v128.store(out, c, 32);
  v128.store(out, e, 48);
}

/** One tile of rows against all the keys it sees. */
function rowTile(args: usize, b: i32, head: i32, firstRow: i32, sinkPartial: usize): void {
  const rowCount = min(tileRows, Tq * group - firstRow);
  const panels = (rowCount + 15) >> 4;
  const padded = panels << 4;
  const dq = pointer(args, 8);
  const inner = <usize>d << 2;
  const outer = <usize>queryHeads * inner;
  const innerO = <usize>dv << 2;
  const outerO = <usize>queryHeads * innerO;
  const firstHead = <usize>(b * Tq * queryHeads + head * group);
  const q = pointer(args, 0) + firstHead * inner;
  const y = pointer(args, 3) + firstHead * innerO;
  const dy = pointer(args, 5) + firstHead * innerO;
  // Without dy only dlse comes back.
  const gradientCount = pointer(args, 5) ? rowCount : 0;
  const factor: f32 = softcap > 0 ? scale / softcap : scale * LOG2_E;
  for (let r = 0; r < padded; r += 16) {
    packPanel(keyPanels + (<usize>(r * d) << 2), q, firstRow + r, rowCount - r, group, outer, inner, d, factor);
    const gradientPanel = gradientPanels + (<usize>(r * dv) << 2);
    packPanel(gradientPanel, dy, firstRow + r, gradientCount - r, group, outerO, innerO, dv, 1);
    packPanel(outputPanel, y, firstRow + r, gradientCount - r, group, outerO, innerO, dv, 1);
    dotPanels(outputPanel, gradientPanel, deltas + (r << 2));
  }
  packRows(queryRows, padded, q, firstRow, rowCount, group, outer, inner, d, 1);
  packRows(gradientRows, padded, dy, firstRow, gradientCount, group, outerO, innerO, dv, 1);
  if (dq) memory.fill(queryGradient, 0, <usize>(padded * keyColumns) << 2);

  const lse = pointer(args, 4);
  const dlse = pointer(args, 7);
  for (let r = 0; r < padded; r++) {
    const row = firstRow + min(r, rowCount - 1);
    const i = row / group;
    const g = row % group;
    store<i32>(positions + (r << 2), i + Tk - Tq);
    if (r >= rowCount) {
      // Rows of zeros: whatever their weights, they add nothing.
      store<f32>(normalisers + (r << 2), 0);
      continue;
    }
    const index = (firstHead + <usize>(i * queryHeads + g)) << 2;
    let delta = load<f32>(deltas + (r << 2));
    if (dlse) delta -= load<f32>(dlse + index);
    const total = load<f32>(lse + index);
    store<f32>(normalisers + (r << 2), total * LOG2_E);
    store<f32>(deltas + (r << 2), delta);
    if (sinkPartial) {
      const logit = load<f32>(pointer(args, 6) + ((head * group + g) << 2));
      const weight = f32x4.extract_lane(exp2NonPositive(f32x4.splat((logit - total) * LOG2_E)), 0);
      const at = sinkPartial + (g << 2);
      store<f32>(at, load<f32>(at) - weight * delta);
    }
  }

  const first = load<i32>(positions);
  const last = load<i32>(positions + ((rowCount - 1) << 2));
  const high = causal ? min(Tk, last + 1) : Tk;
  const low = window > 0 ? max(0, first - window + 1) : 0;
  const keyStride = <usize>(keyHeads * d) << 2;
  const valueStride = <usize>(keyHeads * dv) << 2;
  for (let key = low; key < high; key += tileKeys) {
    const place = <usize>((b * Tk + key) * keyHeads + head);
    keyTile(
      pointer(args, 1) + (place * <usize>d << 2), keyStride, pointer(args, 2) + (place * <usize>dv << 2), valueStride,
      key, min(tileKeys, high - key), panels, dq != 0,
    );
  }
  if (!dq) return;
  for (let r = 0; r < rowCount; r++) {
    const row = firstRow + r;
    const from = queryGradient + (<usize>(r * keyColumns) << 2);
    const to = dq + (firstHead + <usize>(row / group * queryHeads + row % group)) * inner;
    for (let c = 0; c < d; c += 4) storeLanes(to + (c << 2), v128.load(from + (c << 2)), min(4, d - c));
  }
}

/** First and one past the last key of a tile of `count` keys from `key` on that some row of panel `p` sees. */
// @ts-ignore: decorator
@inline
function seenFrom(p: i32, key: i32): i32 {
  return window > 0 ? max(0, load<i32>(positions + (p << 6)) - window + 1 - key) : 0;
}

// @ts-ignore: decorator
@inline
function seenTo(p: i32, key: i32, count: i32): i32 {
  return causal ? min(count, load<i32>(positions + (p << 6), 60) + 1 - key) : count;
}

// @ts-ignore: decorator
@inline
function clearRow(at: usize): void {
  const zero = f32x4.splat(0);
  v128.store(at, zero);
  v128.store(at, zero, 16);
  v128.store(at, zero, 32);
  v128.store(at, zero, 48);
}

/** Adds what one tile of keys and the current rows have to do with each other. */
function keyTile(
  keys: usize, keyStride: usize, values: usize, valueStride: usize, key: i32, count: i32, panels: i32, wantQuery: bool,
): void {
  const rowBytes = <usize>tileRows << 2;
  let keyRows = keys;
  let keyRowStride = keyStride;
  if (keyColumns != d) {
    copyRows(paddedKeys, keys, keyStride, count, d);
    keyRows = paddedKeys;
    keyRowStride = <usize>keyColumns << 2;
  }
  let whole = true;
  for (let p = 0; p < panels; p++) {
    const from = seenFrom(p, key);
    const to = seenTo(p, key, count);
    const seen = to - from;
    const column = <usize>p << 6;
    if (seen < count) {
      whole = false;
      for (let j = 0; j < count; j++) {
        if (j == from && seen > 0) j = to;
        if (j >= count) break;
        clearRow(weights + <usize>j * rowBytes + column);
        clearRow(scoreGradients + <usize>j * rowBytes + column);
      }
    }
    if (seen <= 0) continue;
    const at = weights + <usize>from * rowBytes + column;
    const gradientAt = scoreGradients + <usize>from * rowBytes + column;
    scores16(keys + <usize>from * keyStride, keyStride, seen, keyPanels + (<usize>(p * d) << 6), d, at, rowBytes);
    scores16(values + <usize>from * valueStride, valueStride, seen, gradientPanels + (<usize>(p * dv) << 6), dv, gradientAt, rowBytes);
    // Keys up to `early` are behind some row's window, those from `late` on ahead of some row.
    const begin = key + from;
    const early = window > 0 ? min(seen, max(0, load<i32>(positions + column, 60) - window + 1 - begin)) : 0;
    const late = causal ? max(early, min(seen, load<i32>(positions + column) + 1 - begin)) : seen;
    for (let lane = 0; lane < 64; lane += 16) {
      const x = at + lane;
      const y = gradientAt + lane;
      if (early > 0) differentiateColumn(x, y, rowBytes, early, column + lane, begin, true);
      differentiateColumn(x + <usize>early * rowBytes, y + <usize>early * rowBytes, rowBytes, late - early, column + lane, begin + early, false);
      if (late < seen) {
        differentiateColumn(x + <usize>late * rowBytes, y + <usize>late * rowBytes, rowBytes, seen - late, column + lane, begin + late, true);
      }
    }
    if (wantQuery) {
      accumulate(
        queryGradient + (<usize>((p << 4) * keyColumns) << 2), <usize>keyColumns << 2, 16, keyColumns, 0,
        gradientAt, 4, rowBytes, keyRows + <usize>from * keyRowStride, keyRowStride, seen,
      );
    }
  }
  // dk and dv: sums over rows. At the edges, small groups of keys skip the panels that do not see them.
  const step = whole ? count : 8;
  for (let j = 0; j < count; j += step) {
    const some = min(step, count - j);
    let begin = 0;
    let end = panels;
    if (!whole) {
      while (begin < end && seenTo(begin, key, count) <= j) begin++;
      while (begin < end && seenFrom(end - 1, key) >= j + some) end--;
      if (begin >= end) continue;
    }
    const rows = (end - begin) << 4;
    const corner = <usize>j * rowBytes + (<usize>begin << 6);
    if (valueGradient) {
      accumulate(
        valueGradient + <usize>(key + j) * valueGradientStride, valueGradientStride, some, valueColumns, 0,
        weights + corner, rowBytes, 4, gradientRows + (<usize>((begin << 4) * valueColumns) << 2), <usize>valueColumns << 2, rows,
      );
    }
    if (keyGradient) {
      accumulate(
        keyGradient + <usize>(key + j) * keyGradientStride, keyGradientStride, some, keyColumns, 0,
        scoreGradients + corner, rowBytes, 4, queryRows + (<usize>((begin << 4) * keyColumns) << 2), <usize>keyColumns << 2, rows,
      );
    }
  }
}

/** Four rows: scores become weights P, and gradients of P become gradients of the unscaled products q·k. */
function differentiateColumn(
  score: usize, gradient: usize, step: usize, count: i32, column: usize, begin: i32, edge: bool,
): void {
  const normaliser = v128.load(normalisers + column);
  const delta = v128.load(deltas + column);
  const factor = f32x4.splat(scale);
  const end = score + <usize>count * step;
  if (softcap == 0 && !edge) {
    while (score < end) {
      const p = exp2NonPositive(f32x4.sub(v128.load(score), normaliser));
      v128.store(gradient, f32x4.mul(f32x4.mul(p, factor), f32x4.sub(v128.load(gradient), delta)));
      v128.store(score, p);
      score += step;
      gradient += step;
    }
    return;
  }
  const row = v128.load(positions + column);
  const highest = causal ? row : i32x4.splat(i32.MAX_VALUE);
  const lowest = window > 0 ? i32x4.sub(row, i32x4.splat(window)) : i32x4.splat(i32.MIN_VALUE);
  const cap = f32x4.splat(softcap * LOG2_E);
  const one = f32x4.splat(1);
  let key = i32x4.splat(begin);
  while (score < end) {
    let s = v128.load(score);
    let slope = factor;
    if (softcap > 0) {
      const t = tanh(s);
      s = f32x4.mul(cap, t);
      slope = f32x4.mul(factor, fnma(t, t, one));
    }
    const visible = v128.and(i32x4.le_s(key, highest), i32x4.gt_s(key, lowest));
    const p = v128.and(visible, exp2NonPositive(f32x4.sub(s, normaliser)));
    const ds = f32x4.mul(f32x4.mul(p, slope), f32x4.sub(v128.load(gradient), delta));
    v128.store(gradient, v128.and(visible, ds));
    v128.store(score, p);
    key = i32x4.add(key, i32x4.splat(1));
    score += step;
    gradient += step;
  }
}
