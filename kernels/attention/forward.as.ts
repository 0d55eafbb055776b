// attention, forward: softmax(scale q kᵀ) v over causal, windowed and cached keys, by online softmax over tiles of keys
// (FlashAttention-2, arXiv:2307.08691, Algorithm 1); no Tq × Tk array exists. q [B,Tq,Hq,d], k [B,Tk,Hk,d],
// v [B,Tk,Hk,dv]; ring caches [B,Cap,Hk,·] hold the key of absolute position j in slot j % Cap. The query heads that share
// a key head are rows of one panel. Parallel over (batch row, key heads, tile of rows), dealt out in zigzag so that the
// growing cost of causal tiles evens out, and over parts of the keys (`splits`) where these are too few. With few rows an
// item takes all heads, so that the caches are read from end to end in order.
import { integer, pointer, scalar } from "../common/args.as";
import { accumulateRow, scores1, scores4 } from "../common/few_rows.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { exp2NonPositive, log, tanh } from "../common/math.as";
import { fma } from "../common/simd.as";
import { accumulate, copyRows, packPanel, packRows, scores16 } from "../common/tiles.as";
import { touch } from "../common/touch.as";

/** Score of a masked key; far below the first running maximum, so that its weight is exactly 0. */
const MASKED: f32 = -1e30;
const FIRST_MAXIMUM: f32 = -1e20;
const LN2: f32 = 0.69314718055994530942;
const LOG2_E: f32 = 1.44269504088896340736;

// The sizes of the call. Each thread has its own instance, hence its own copy.
let Tq: i32 = 0;
let Tk: i32 = 0;
let capacity: i32 = 0;
let queryHeads: i32 = 0;
let keyHeads: i32 = 0;
let group: i32 = 0;
let d: i32 = 0;
let dv: i32 = 0;
let columns: i32 = 0;
let causal: bool = false;
let window: i32 = 0;
let tileRows: i32 = 0;
let width: i32 = 0;
let panelBytes: usize = 0;
let itemHeads: i32 = 0;

function readSizes(args: usize): void {
  Tq = integer(args, 13);
  Tk = integer(args, 14);
  capacity = integer(args, 15);
  queryHeads = integer(args, 16);
  keyHeads = integer(args, 17);
  group = queryHeads / keyHeads;
  d = integer(args, 18);
  dv = integer(args, 19);
  columns = (dv + 3) & ~3;
  causal = integer(args, 21) != 0;
  window = integer(args, 22);
  tileRows = integer(args, 24);
  width = integer(args, 27);
  itemHeads = integer(args, 28);
  panelBytes = <usize>(width * ((d + 3) & ~3)) << 2;
}

/** Words of running maxima, sums and unnormalised outputs of one tile of rows. */
// @ts-ignore: decorator
@inline
function stateWords(): i32 {
  return tileRows * (columns + 2);
}

/**
 * args: 0 q, 1 k, 2 v, 3 past_k, 4 past_v, 5 position, 6 sink, 7 y, 8 lse, 9 scratch, 10 bytes of scratch per thread,
 * 11 partial, 12 B, 13 Tq, 14 Tk, 15 Cap, 16 Hq, 17 Hk, 18 d, 19 dv, 20 scale, 21 causal, 22 window, 23 softcap,
 * 24 rows per tile, 25 keys per tile, 26 splits, 27 rows per panel (16, or 4 for few rows), 28 key heads per item.
 * Scratch of a thread: the panels of the queries [itemHeads][tileRows][d], positions [tileRows], alphas [16],
 * scores [tileKeys][width], padded values [tileKeys][dv] if dv is no multiple of 4, and unless splits > 1 the state of each
 * head: maxima [tileRows], sums [tileRows], outputs [tileRows][dv]. With splits > 1 that is in `partial`, for attention_combine.
 */
export function attention(args: usize, thread: i32, threads: i32): void {
  readSizes(args);
  const scratch = pointer(args, 9) + <usize>thread * <usize>integer(args, 10);
  const partial = pointer(args, 11);
  const pastK = pointer(args, 3);
  const position = pointer(args, 5);
  const tileKeys = integer(args, 25);
  const splits = integer(args, 26);
  const softcap = scalar(args, 23);
  const rows = Tq * group;
  const tiles = (rows + tileRows - 1) / tileRows;
  const stateBytes = <usize>stateWords() << 2;

  const panels = scratch;
  const panelsBytes = <usize>(tileRows / width) * panelBytes;
  const positions = panels + <usize>itemHeads * panelsBytes;
  const alphas = positions + (<usize>tileRows << 2);
  const scores = alphas + 64;
  const values = scores + (<usize>(tileKeys * width) << 2);
  const ownState = values + (columns != dv ? <usize>(tileKeys * columns) << 2 : 0);

  const headItems = keyHeads / itemHeads;
  const items = integer(args, 12) * headItems * tiles * splits;
  for (let round = 0; round * threads < items; round++) {
    const item = round * threads + (round & 1 ? threads - 1 - thread : thread);
    if (item >= items) continue;
    const split = item % splits;
    const firstRow = ((item / splits) % tiles) * tileRows;
    const firstHead = ((item / (splits * tiles)) % headItems) * itemHeads;
    const b = item / (splits * tiles * headItems);
    const rowCount = min(tileRows, rows - firstRow);
    const state = splits > 1 ? partial + <usize>(item * itemHeads) * stateBytes : ownState;

    // Absolute positions; keys before `base` are in the cache.
    const base = pastK ? load<i32>(position + (b << 2)) : 0;
    const firstPosition = base + Tk - Tq;
    for (let r = 0; r < tileRows; r++) {
      store<i32>(positions + (r << 2), firstPosition + (firstRow + min(r, rowCount - 1)) / group);
    }
    const first = load<i32>(positions);
    const last = load<i32>(positions + ((rowCount - 1) << 2));
    let high = base + Tk;
    if (causal) high = min(high, last + 1);
    let low = base - (pastK ? min(base, capacity) : 0);
    if (window > 0) low = max(low, first - window + 1);
    const span = max(high - low, 0);
    high = low + <i32>(<i64>span * <i64>(split + 1) / <i64>splits);
    low += <i32>(<i64>span * <i64>split / <i64>splits);

    for (let h = 0; h < itemHeads; h++) {
      startHead(args, b, firstHead + h, firstRow, rowCount, split == 0, panels + <usize>h * panelsBytes, state + <usize>h * stateBytes);
    }
    for (let key = low; key < high; ) {
      // A tile of keys that lie one after the other: in the cache up to its seam, or among the new ones.
      let count = min(tileKeys, high - key);
      let cached = false;
      let slot = b * Tk + key - base;
      if (key < base) {
        cached = true;
        const at = key % capacity;
        count = min(count, min(base - key, capacity - at));
        slot = b * capacity + at;
      }
      const keys = pointer(args, cached ? 3 : 1) + (<usize>(slot * keyHeads + firstHead) * <usize>d << 2);
      const contents = pointer(args, cached ? 4 : 2) + (<usize>(slot * keyHeads + firstHead) * <usize>dv << 2);
      if (itemHeads == keyHeads && width == 4) {
        touch(keys, <usize>(count * keyHeads * d) << 2);
        touch(contents, <usize>(count * keyHeads * dv) << 2);
      }
      for (let h = 0; h < itemHeads; h++) {
        attendTile(
          keys + (<usize>(h * d) << 2), contents + (<usize>(h * dv) << 2), key, count, rowCount, softcap,
          panels + <usize>h * panelsBytes, positions, alphas, scores, values, state + <usize>h * stateBytes,
        );
      }
      key += count;
    }
    if (splits > 1) continue;
    for (let h = 0; h < itemHeads; h++) {
      const at = state + <usize>h * stateBytes;
      const sums = at + (<usize>tileRows << 2);
      writeRows(args, b, firstHead + h, firstRow, rowCount, at, sums, sums + (<usize>tileRows << 2));
    }
  }
}

/** Packs the queries of one head and tile, with the scale folded in, and resets their state. */
function startHead(args: usize, b: i32, head: i32, firstRow: i32, rowCount: i32, firstPart: bool, panels: usize, state: usize): void {
  const sink = pointer(args, 6);
  const scale = scalar(args, 20);
  const softcap = scalar(args, 23);
  const factor: f32 = softcap > 0 ? scale / softcap : scale * LOG2_E;
  const inner = <usize>d << 2;
  const outer = <usize>queryHeads * inner;
  const q = pointer(args, 0) + <usize>(b * Tq * queryHeads + head * group) * inner;
  for (let r = 0; r < rowCount; r += width) {
    if (width == 16) packPanel(panels, q, firstRow + r, rowCount - r, group, outer, inner, d, factor);
    else packRows(panels, 4, q, firstRow + r, rowCount - r, group, outer, inner, d, factor);
    panels += panelBytes;
  }
  const sums = state + (<usize>tileRows << 2);
  for (let r = 0; r < tileRows; r++) {
    // The sink is a key with a value of zero, seen first.
    const withSink = sink != 0 && firstPart;
    const row = firstRow + min(r, rowCount - 1);
    store<f32>(state + (r << 2), withSink ? load<f32>(sink + ((head * group + row % group) << 2)) * LOG2_E : FIRST_MAXIMUM);
    store<f32>(sums + (r << 2), withSink ? 1 : 0);
  }
  memory.fill(sums + (<usize>tileRows << 2), 0, <usize>(tileRows * columns) << 2);
}

/** Lets every row of a tile see `count` consecutive keys, the first at absolute position `key`. */
function attendTile(
  keys: usize, contents: usize, key: i32, count: i32, rowCount: i32, softcap: f32,
  panels: usize, positions: usize, alphas: usize, scores: usize, values: usize, state: usize,
): void {
  const kStride = <usize>(keyHeads * d) << 2;
  const outStride = <usize>columns << 2;
  const sums = state + (<usize>tileRows << 2);
  const out = sums + (<usize>tileRows << 2);
  let vStride = <usize>(keyHeads * dv) << 2;
  if (columns != dv) {
    copyRows(values, contents, vStride, count, dv);
    contents = values;
    vStride = outStride;
  }
  for (let r = 0; r < rowCount; r += width) {
    const panelFirst = load<i32>(positions + (r << 2));
    const panelLast = load<i32>(positions + ((r + width - 1) << 2));
    const from = window > 0 ? max(0, panelFirst - window + 1 - key) : 0;
    const seen = (causal ? min(count, panelLast + 1 - key) : count) - from;
    if (seen <= 0) continue;
    const panel = panels + <usize>(r / width) * panelBytes;
    if (width == 16) scores16(keys + <usize>from * kStride, kStride, seen, panel, d, scores, 64);
    else if (rowCount == 1) scores1(keys + <usize>from * kStride, kStride, seen, panel, d, scores);
    else scores4(keys + <usize>from * kStride, kStride, seen, panel, d, scores);
    if (softcap > 0) capScores(scores, seen * width, f32x4.splat(softcap * LOG2_E));
    // Only keys after the first row's own, and those that the last row's window has left behind, are not for all rows.
    const begin = key + from;
    const rowBytes = <usize>width << 2;
    if (causal) {
      const late = max(0, panelFirst + 1 - begin);
      maskScores(scores + <usize>late * rowBytes, seen - late, begin + late, positions + (r << 2));
    }
    if (window > 0) maskScores(scores, min(seen, panelLast - window + 1 - begin), begin, positions + (r << 2));
    for (let lane = 0; lane < width; lane += 4) {
      const at = <usize>(r + lane) << 2;
      softmaxColumn(scores + (lane << 2), rowBytes, seen, state + at, sums + at, alphas + (lane << 2));
    }
    if (rowCount == 1) {
      accumulateRow(out, columns, load<f32>(alphas), scores, rowBytes, contents + <usize>from * vStride, vStride, seen);
      continue;
    }
    accumulate(
      out + <usize>r * outStride, outStride, width, columns, alphas,
      scores, 4, rowBytes, contents + <usize>from * vStride, vStride, seen,
    );
  }
}

/** s = cap · tanh(s / cap), in units of log₂; the division has been folded into the queries. */
function capScores(tile: usize, count: i32, capLog2: v128): void {
  const end = tile + (<usize>count << 2);
  for (let at = tile; at < end; at += 16) v128.store(at, f32x4.mul(capLog2, tanh(v128.load(at))));
}

/** Overwrites the scores of keys that a row must not see; key j of the tile is at absolute position begin + j. */
function maskScores(tile: usize, count: i32, begin: i32, positions: usize): void {
  if (count <= 0) return;
  for (let lane = 0; lane < width; lane += 4) {
    const row = v128.load(positions + (lane << 2));
    const highest = causal ? row : i32x4.splat(i32.MAX_VALUE);
    const lowest = window > 0 ? i32x4.sub(row, i32x4.splat(window)) : i32x4.splat(i32.MIN_VALUE);
    let at = tile + (lane << 2);
    for (let j = 0; j < count; j++) {
      const key = i32x4.splat(begin + j);
      const visible = v128.and(i32x4.le_s(key, highest), i32x4.gt_s(key, lowest));
      v128.store(at, v128.bitselect(v128.load(at), f32x4.splat(MASKED), visible));
      at += <usize>width << 2;
    }
  }
}

/** One online softmax step for four rows: scores become weights 2^(s - max), and max, sum and the factor for what came before are updated. */
function softmaxColumn(tile: usize, step: usize, count: i32, maxima: usize, sums: usize, alphas: usize): void {
  const before = v128.load(maxima);
  const end = tile + <usize>count * step;
  const pairs = tile + <usize>(count & ~1) * step;
  let top = before;
  let top2 = before;
  let at = tile;
  while (at < pairs) {
    top = f32x4.pmax(top, v128.load(at));
    top2 = f32x4.pmax(top2, v128.load(at + step));
    at += step << 1;
  }
  if (at < end) top = f32x4.pmax(top, v128.load(at));
  top = f32x4.pmax(top, top2);
  let sum = f32x4.splat(0);
  let sum2 = sum;
  at = tile;
  while (at < pairs) {
    const p = exp2NonPositive(f32x4.sub(v128.load(at), top));
    const p2 = exp2NonPositive(f32x4.sub(v128.load(at + step), top));
    v128.store(at, p);
    v128.store(at + step, p2);
    sum = f32x4.add(sum, p);
    sum2 = f32x4.add(sum2, p2);
    at += step << 1;
  }
  if (at < end) {
    const p = exp2NonPositive(f32x4.sub(v128.load(at), top));
    v128.store(at, p);
    sum = f32x4.add(sum, p);
  }
  const alpha = exp2NonPositive(f32x4.sub(before, top));
  v128.store(maxima, top);
  v128.store(sums, fma(v128.load(sums), alpha, f32x4.add(sum, sum2)));
  v128.store(alphas, alpha);
}

/** y = out / sum and lse = log of the denominator, for rows of one head. Leaves lse in `maxima` and 1 / sum in `sums`. */
function writeRows(args: usize, b: i32, head: i32, firstRow: i32, rowCount: i32, maxima: usize, sums: usize, out: usize): void {
  const y = pointer(args, 7);
  const lse = pointer(args, 8);
  for (let r = 0; r < rowCount; r += 4) {
    const at = <usize>r << 2;
    const left = min(4, rowCount - r);
    const sum = loadLanes(sums + at, left);
    const total = fma(loadLanes(maxima + at, left), f32x4.splat(LN2), log(sum));
    // A row that sees no key is zero.
    const inverse = v128.andnot(f32x4.div(f32x4.splat(1), sum), f32x4.eq(sum, f32x4.splat(0)));
    storeLanes(maxima + at, total, left);
    storeLanes(sums + at, inverse, left);
  }
  const whole = dv & ~3;
  let i = firstRow / group;
  let g = firstRow % group;
  for (let r = 0; r < rowCount; r++) {
    const index = <usize>((b * Tq + i) * queryHeads + head * group + g);
    if (++g == group) {
      g = 0;
      i++;
    }
    if (lse) store<f32>(lse + (index << 2), load<f32>(maxima + (r << 2)));
    if (!y) continue;
    const inverse = v128.load32_splat(sums + (r << 2));
    let from = out + (<usize>(r * columns) << 2);
    let to = y + (index * <usize>dv << 2);
    for (let c = 0; c < whole; c += 4) {
      v128.store(to, f32x4.mul(inverse, v128.load(from)));
      from += 16;
      to += 16;
    }
    if (whole < dv) storeLanes(to, f32x4.mul(inverse, v128.load(from)), dv - whole);
  }
}

/** Joins the parts of the keys that attention left in `partial`; same args. Threads take rows. */
export function attention_combine(args: usize, thread: i32, threads: i32): void {
  readSizes(args);
  const partial = pointer(args, 11);
  const splits = integer(args, 26);
  const rows = Tq * group;
  const tiles = (rows + tileRows - 1) / tileRows;
  const stateBytes = <usize>stateWords() << 2;
  const step = <usize>itemHeads * stateBytes;
  const headItems = keyHeads / itemHeads;
  const total = integer(args, 12) * keyHeads * rows;
  for (let index = thread; index < total; index += threads) {
    const row = index % rows;
    const r = row % tileRows;
    const head = (index / rows) % keyHeads;
    const b = index / (rows * keyHeads);
    const item = ((b * headItems + head / itemHeads) * tiles + row / tileRows) * splits;
    const first = partial + <usize>item * step + <usize>(head % itemHeads) * stateBytes;
    const maxima = first + (r << 2);
    const sums = maxima + (<usize>tileRows << 2);
    const out = first + (<usize>(2 * tileRows + r * columns) << 2);
    let top = load<f32>(maxima);
    for (let s = 1; s < splits; s++) top = max(top, load<f32>(maxima + <usize>s * step));
    // The first part becomes the whole.
    let sum = f32x4.splat(0);
    for (let s = 0; s < splits; s++) {
      const at = <usize>s * step;
      const weight = exp2NonPositive(f32x4.splat(load<f32>(maxima + at) - top));
      sum = fma(weight, v128.load32_splat(sums + at), sum);
      for (let c = 0; c < columns; c += 4) {
        const to = out + (c << 2);
        const part = f32x4.mul(weight, v128.load(to + at));
        v128.store(to, s == 0 ? part : f32x4.add(v128.load(to), part));
      }
    }
    store<f32>(maxima, top);
    store<f32>(sums, f32x4.extract_lane(sum, 0));
    writeRows(args, b, head, row, 1, maxima, sums, out);
  }
}
