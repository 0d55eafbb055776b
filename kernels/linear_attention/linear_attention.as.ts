// linear_attention, rules linear and gated: S ← e^decay S + k vᵀ, y = scale Sᵀq. args: see Arguments below.
// q [B,T,Hq,dk], k [B,T,Hk,dk], v [B,T,Hv,dv] → y [B,T,Ho,dv], sT [B,Hv,dk,dv], starts [B,T/64,Hv,dk,dv].
// Sequential in time; threads split the strips of 8 value columns of all heads. Tokens go in tiles of 64: a 2 × 8 tile
// of the state stays in registers while the tokens stream by, k and q packed to be read in that order.
import { integer, pointer, scalar, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { beyondLimit, CHUNK, exponentials, headSegments, limitedLanes } from "../common/linear_attention.as";
import { exp } from "../common/math.as";
import { fma } from "../common/simd.as";

// Arguments. Strides are in bytes; sT is never absent.
const Q = 0;
const K = 1;
const V = 2;
const DECAY = 3;
const S0 = 5;
const Y = 6;
const FINAL = 7;
const STARTS = 8;
const SCRATCH = 9;
const BATCH = 10;
const TIME = 11;
const QUERY_HEADS = 12;
const KEY_HEADS = 13;
const STATE_HEADS = 14;
const KEY_DIM = 15;
const VALUE_DIM = 16;
const DECAY_BATCH = 17;
const DECAY_TIME = 18;
const DECAY_HEAD = 19;
const DECAY_KEY = 20;
const SCALE = 21;
const SCRATCH_STRIDE = 22;

const TILE: i32 = CHUNK;
const STRIP: i32 = 8;
/** Segment of a tile: its last token + 1 (i32), and at 16 the decay of its four state rows over it. */
const SEGMENT: i32 = 32;
/** Off a multiple of 4096, so that the first segments of different rows do not share cache sets. */
const SEGMENTS: i32 = TILE * SEGMENT + 64;

/** Bytes of scratch of one thread. Mirrored in src/ops/linear-attention/wasm.ts. */
//   panel   [dk/2][TILE][k k q q]
//   edge    [dk/4 * 4][STRIP]   state strips that cannot be used in place
//   spare   [dk/4 * 4][STRIP]   states that are thrown away (several readers)
//   v, y    [TILE][STRIP]
//   sums, grows, shrinks [TILE + 4]
//   ends    [TILE + 4]
//   segments [dk/4][SEGMENTS]

/** Lane `i` of x in all lanes. Cheaper here than a load of its own: loads are what limits the loop below. */
// @ts-ignore: decorator
@inline
function splatLane(x: v128, i: i32): v128 {
  if (i == 0) return i32x4.shuffle(x, x, 0, 0, 0, 0);
  if (i == 1) return i32x4.shuffle(x, x, 1, 1, 1, 1);
  if (i == 2) return i32x4.shuffle(x, x, 2, 2, 2, 2);
  return i32x4.shuffle(x, x, 3, 3, 3, 3);
}

/**
 * Two rows of the state through the tokens of a tile: Ŝ ← Ŝ + k vᵀ, y += Ŝᵀq. `panel` holds k and q of these rows,
 * `from` the state before (0: zeros), `to` takes the state after; rows are `fromStride`, `toStride` bytes apart.
 * Two rows and not four: V8 hoists a token's loads above its arithmetic, and more of them do not fit in 15 registers.
 */
function sweep(
  panel: usize, v: usize, y: usize, segments: usize, factors: i32, tokens: i32,
  from: usize, fromStride: i32, to: usize, toStride: i32,
): void {
  let s00 = f32x4.splat(0);
  let s01 = s00;
  let s10 = s00;
  let s11 = s00;
  if (from != 0) {
    s00 = v128.load(from);
    s01 = v128.load(from, 16);
    s10 = v128.load(from + fromStride);
    s11 = v128.load(from + fromStride, 16);
  }
  const first = panel;
  const last = panel + (tokens << 4);
  do {
    const end = first + (load<i32>(segments) << 4);
    const pairs = end - 16;
    while (panel < pairs) {
      let kq = v128.load(panel);
      let v0 = v128.load(v);
      let v1 = v128.load(v, 16);
      let k0 = splatLane(kq, 0);
      s00 = fma(k0, v0, s00);
      s01 = fma(k0, v1, s01);
      let q0 = splatLane(kq, 2);
      let y0 = fma(q0, s00, v128.load(y));
      let y1 = fma(q0, s01, v128.load(y, 16));
      let k1 = splatLane(kq, 1);
      s10 = fma(k1, v0, s10);
      s11 = fma(k1, v1, s11);
      let q1 = splatLane(kq, 3);
      v128.store(y, fma(q1, s10, y0));
      v128.store(y, fma(q1, s11, y1), 16);
      kq = v128.load(panel, 16);
      v0 = v128.load(v, 32);
      v1 = v128.load(v, 48);
      k0 = splatLane(kq, 0);
      s00 = fma(k0, v0, s00);
      s01 = fma(k0, v1, s01);
      q0 = splatLane(kq, 2);
      y0 = fma(q0, s00, v128.load(y, 32));
      y1 = fma(q0, s01, v128.load(y, 48));
      k1 = splatLane(kq, 1);
      s10 = fma(k1, v0, s10);
      s11 = fma(k1, v1, s11);
      q1 = splatLane(kq, 3);
      v128.store(y, fma(q1, s10, y0), 32);
      v128.store(y, fma(q1, s11, y1), 48);
      panel += 32;
      v += 64;
      y += 64;
    }
    if (panel < end) {
      const kq = v128.load(panel);
      const v0 = v128.load(v);
      const v1 = v128.load(v, 16);
      const k0 = splatLane(kq, 0);
      s00 = fma(k0, v0, s00);
      s01 = fma(k0, v1, s01);
      const q0 = splatLane(kq, 2);
      const y0 = fma(q0, s00, v128.load(y));
      const y1 = fma(q0, s01, v128.load(y, 16));
      const k1 = splatLane(kq, 1);
      s10 = fma(k1, v0, s10);
      s11 = fma(k1, v1, s11);
      const q1 = splatLane(kq, 3);
      v128.store(y, fma(q1, s10, y0));
      v128.store(y, fma(q1, s11, y1), 16);
      panel += 16;
      v += 32;
      y += 32;
    }
    let factor = v128.load_splat<f32>(segments + factors);
    s00 = f32x4.mul(s00, factor);
    s01 = f32x4.mul(s01, factor);
    factor = v128.load_splat<f32>(segments + factors, 4);
    s10 = f32x4.mul(s10, factor);
    s11 = f32x4.mul(s11, factor);
    segments += SEGMENT;
  } while (panel < last);
  v128.store(to, s00);
  v128.store(to, s01, 16);
  v128.store(to + toStride, s10);
  v128.store(to + toStride, s11, 16);
}

/** k and q of four rows at one token, to the panels of rows 0, 1 and of rows 2, 3. */
// @ts-ignore: decorator
@inline
function storePanels(panel: usize, k: v128, q: v128): void {
  v128.store(panel, i64x2.shuffle(k, q, 0, 2));
  v128.store(panel, i64x2.shuffle(k, q, 1, 3), TILE * 16);
}

/** Packs rows of k and q (each `keyStride`, `queryStride` bytes after the last) for `sweep`. */
function packPanel(panel: usize, k: usize, keyStride: i32, q: usize, queryStride: i32, tokens: i32, keyDim: i32): void {
  for (let n = 0; n < keyDim; n += 4) {
    const lanes = keyDim - n;
    let key = k + (n << 2);
    let query = q + (n << 2);
    for (let t = 0; t < tokens; t++) {
      storePanels(panel + (t << 4), loadLanes(key, lanes), loadLanes(query, lanes));
      key += keyStride;
      query += queryStride;
    }
    panel += TILE << 5;
  }
}

/** The same with a decay per key: k e^-cs and q e^cs, and each row's own segments. */
function packDecayedPanel(
  panel: usize, segments: usize, k: usize, keyStride: i32, q: usize, queryStride: i32,
  decay: usize, decayStride: i32, tokens: i32, keyDim: i32,
): void {
  for (let n = 0; n < keyDim; n += 4) {
    const lanes = keyDim - n;
    let key = k + (n << 2);
    let query = q + (n << 2);
    let gate = decay + (n << 2);
    let segment = segments;
    let sum = f32x4.splat(0);
    let grow = f32x4.splat(1);
    for (let t = 0; t < tokens; t++) {
      const a = limitedLanes(loadLanes(gate, lanes));
      sum = f32x4.add(sum, a);
      if (beyondLimit(sum) && t > 0) {
        store<i32>(segment, t);
        v128.store(segment, grow, 16);
        segment += SEGMENT;
        sum = a;
      }
      grow = exp(sum);
      const shrunk = f32x4.mul(loadLanes(key, lanes), exp(f32x4.neg(sum)));
      storePanels(panel + (t << 4), shrunk, f32x4.mul(loadLanes(query, lanes), grow));
      key += keyStride;
      query += queryStride;
      gate += decayStride;
    }
    store<i32>(segment, tokens);
    v128.store(segment, grow, 16);
    segments += SEGMENTS;
    panel += TILE << 5;
  }
}

/** Copies a strip of `rows` × `columns` (≤ 8); `from` 0 is zeros. The padding of a packed target becomes 0. */
function copyStrip(from: usize, fromStride: i32, to: usize, toStride: i32, rows: i32, columns: i32): void {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column += 4) {
      const lanes = columns - column;
      const x = from == 0 ? f32x4.splat(0) : loadLanes(from + (column << 2), lanes);
      storeLanes(to + (column << 2), x, lanes);
    }
    if (from != 0) from += fromStride;
    to += toStride;
  }
}

export function linear_attention(args: usize, thread: i32, threads: i32): void {
  const batch = integer(args, BATCH);
  const time = integer(args, TIME);
  const queryHeads = integer(args, QUERY_HEADS);
  const keyHeads = integer(args, KEY_HEADS);
  const heads = integer(args, STATE_HEADS);
  const keyDim = integer(args, KEY_DIM);
  const valueDim = integer(args, VALUE_DIM);
  const outputHeads = max(queryHeads, heads);
  const readers = outputHeads / heads;
  const decay = pointer(args, DECAY);
  const decayTime = integer(args, DECAY_TIME);
  const perKey = integer(args, DECAY_KEY) != 0;
  const s0 = pointer(args, S0);
  const starts = pointer(args, STARTS);
  const scale = scalar(args, SCALE);

  const rows = (keyDim + 3) & ~3;
  const panel = pointer(args, SCRATCH) + thread * integer(args, SCRATCH_STRIDE);
  const edge = panel + rows * TILE * 8;
  const spare = edge + rows * STRIP * 4;
  const vTile = spare + rows * STRIP * 4;
  const yTile = vTile + TILE * STRIP * 4;
  const sums = yTile + TILE * STRIP * 4;
  const grows = sums + (TILE + 4) * 4;
  const shrinks = grows + (TILE + 4) * 4;
  const ends = shrinks + (TILE + 4) * 4;
  const segments = ends + (TILE + 4) * 4;
  const segmentsStride = perKey ? SEGMENTS : 0;

  const strips = (valueDim + STRIP - 1) / STRIP;
  const begin = shareStart(batch * heads * strips, thread, threads);
  const finish = shareStart(batch * heads * strips, thread + 1, threads);
  const stateStride = valueDim << 2;
  const stateBytes = keyDim * stateStride;
  const keyStride = keyHeads * keyDim << 2;
  const queryStride = queryHeads * keyDim << 2;
  const valueStride = heads * valueDim << 2;
  const outputStride = outputHeads * valueDim << 2;
  const chunks = (time + CHUNK - 1) / CHUNK;

  for (let b = begin / (heads * strips); b * heads * strips < finish; b++) {
    const from = max(begin - b * heads * strips, 0);
    const until = min(finish - b * heads * strips, heads * strips);
    for (let t0 = 0; t0 < time; t0 += TILE) {
      const tokens = min(TILE, time - t0);
      let packedKey = -1;
      let packedQuery = -1;
      for (let h = from / strips; h * strips < until; h++) {
        const firstStrip = max(from - h * strips, 0);
        const lastStrip = min(until - h * strips, strips);
        const row = b * time + t0;
        const keyHead = h / (heads / keyHeads);
        const gate = decay == 0 ? 0 : decay + b * integer(args, DECAY_BATCH) + t0 * decayTime + h * integer(args, DECAY_HEAD);
        if (!perKey) {
          const count = headSegments(gate, decayTime, tokens, sums, ends);
          exponentials(sums, tokens, grows, shrinks);
          for (let i = 0; i < count; i++) {
            const end = load<i32>(ends + (i << 2));
            store<i32>(segments + i * SEGMENT, end);
            v128.store(segments + i * SEGMENT, v128.load_splat<f32>(grows + (end - 1 << 2)), 16);
          }
        }
        for (let reader = 0; reader < readers; reader++) {
          const outputHead = h * readers + reader;
          const queryHead = outputHead / (outputHeads / queryHeads);
          const k = pointer(args, K) + row * keyStride + (keyHead * keyDim << 2);
          const q = pointer(args, Q) + row * queryStride + (queryHead * keyDim << 2);
          if (perKey) packDecayedPanel(panel, segments, k, keyStride, q, queryStride, gate, decayTime, tokens, keyDim);
          else if (keyHead != packedKey || queryHead != packedQuery) {
            packPanel(panel, k, keyStride, q, queryStride, tokens, keyDim);
            packedKey = keyHead;
            packedQuery = queryHead;
          }
          for (let strip = firstStrip; strip < lastStrip; strip++) {
            const columns = min(STRIP, valueDim - strip * STRIP);
            const column = strip * STRIP << 2;
            const final = pointer(args, FINAL) + (b * heads + h) * stateBytes + column;
            let before = final;
            if (t0 == 0) before = s0 == 0 ? 0 : s0 + (b * heads + h) * stateBytes + column;
            if (starts != 0 && reader == 0) {
              const start = starts + ((b * chunks + t0 / CHUNK) * heads + h) * stateBytes + column;
              copyStrip(before, stateStride, start, stateStride, keyDim, columns);
            }
            let v = pointer(args, V) + row * valueStride + (h * valueDim << 2) + column;
            for (let t = 0; t < tokens; t++) {
              const shrink = perKey ? f32x4.splat(1) : v128.load_splat<f32>(shrinks + (t << 2));
              const high = columns > 4 ? loadLanes(v + 16, columns - 4) : f32x4.splat(0);
              v128.store(vTile + (t << 5), f32x4.mul(loadLanes(v, columns), shrink));
              v128.store(vTile + (t << 5), f32x4.mul(high, shrink), 16);
              v += valueStride;
            }
            memory.fill(yTile, 0, tokens << 5);
            const inPlace = columns == STRIP && rows == keyDim;
            let source = before;
            let sourceStride = stateStride;
            if (!inPlace && before != 0) {
              memory.fill(edge, 0, rows * STRIP << 2);
              copyStrip(before, stateStride, edge, STRIP << 2, keyDim, columns);
              source = edge;
              sourceStride = STRIP << 2;
            }
            const kept = reader == readers - 1;
            const target = !kept ? spare : inPlace ? final : edge;
            const targetStride = kept && inPlace ? stateStride : STRIP << 2;
            for (let n = 0; n < rows; n += 2) {
              sweep(
                panel + n * TILE * 8, vTile, yTile, segments + (n >> 2) * segmentsStride, 16 + ((n & 2) << 2), tokens,
                source == 0 ? 0 : source + n * sourceStride, sourceStride, target + n * targetStride, targetStride,
              );
            }
            if (kept && !inPlace) copyStrip(edge, STRIP << 2, final, stateStride, keyDim, columns);
            let y = pointer(args, Y) + row * outputStride + (outputHead * valueDim << 2) + column;
            for (let t = 0; t < tokens; t++) {
              const grow = f32x4.splat(perKey ? scale : scale * load<f32>(grows + (t << 2)));
              storeLanes(y, f32x4.mul(v128.load(yTile + (t << 5)), grow), columns);
              if (columns > 4) storeLanes(y + 16, f32x4.mul(v128.load(yTile + (t << 5), 16), grow), columns - 4);
              y += outputStride;
            }
          }
        }
      }
    }
    if (time == 0) {
      for (let i = from; i < until; i++) {
        const at = (b * heads + i / strips) * stateBytes + ((i % strips) * STRIP << 2);
        copyStrip(s0 == 0 ? 0 : s0 + at, stateStride, pointer(args, FINAL) + at, stateStride, keyDim, min(STRIP, valueDim - (i % strips) * STRIP));
      }
    }
  }
}
