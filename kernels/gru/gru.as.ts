// gru: x_gates [B, T, 3H] -> y [B, T, H]. A step is a product of h [B, H] with the rows of w_hh, four units of one gate and two
// batch rows per tile, then the cell in registers. Threads split batch rows and run all steps in one command, or split units
// and run one step per command (few rows, or weights too large for one core's cache).
// gru_gradient: the same, backwards, with the transposed weights; it leaves the weight's gradient to a matrix product.
import { integer, pointer, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { sigmoid, tanh } from "../common/math.as";
import { fma } from "../common/simd.as";
import { transposeBlock } from "../common/transpose.as";

/** The sums of the lanes of four vectors, as one vector. */
// @ts-ignore: decorator
@inline
function sumEach(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(i32x4.shuffle(a, b, 0, 4, 1, 5), i32x4.shuffle(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(i32x4.shuffle(c, d, 0, 4, 1, 5), i32x4.shuffle(c, d, 2, 6, 3, 7));
  return f32x4.add(i64x2.shuffle(ab, cd, 0, 2), i64x2.shuffle(ab, cd, 1, 3));
}

/** Stores the products of four rows, `step` bytes apart, with x and with y at `out`; rows after number `last` repeat it. */
function twoRows(rows: usize, step: usize, last: i32, x: usize, y: usize, count: i32, out: usize): void {
  const second = last > 0 ? step : 0;
  const third = last > 1 ? 2 * step : second;
  const fourth = last > 2 ? 3 * step : third;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const across = y - x;
  const end = x + (<usize>(count & ~3) << 2);
  while (x < end) {
    const s = v128.load(x);
    const t = v128.load(x + across);
    let w = v128.load(rows);
    a0 = fma(w, s, a0);
    b0 = fma(w, t, b0);
    w = v128.load(rows + second);
    a1 = fma(w, s, a1);
    b1 = fma(w, t, b1);
    w = v128.load(rows + third);
    a2 = fma(w, s, a2);
    b2 = fma(w, t, b2);
    w = v128.load(rows + fourth);
    a3 = fma(w, s, a3);
    b3 = fma(w, t, b3);
    x += 16;
    rows += 16;
  }
  const tail = count & 3;
  if (tail) {
    const s = loadLanes(x, tail);
    const t = loadLanes(x + across, tail);
    let w = loadLanes(rows, tail);
    a0 = fma(w, s, a0);
    b0 = fma(w, t, b0);
    w = loadLanes(rows + second, tail);
    a1 = fma(w, s, a1);
    b1 = fma(w, t, b1);
    w = loadLanes(rows + third, tail);
    a2 = fma(w, s, a2);
    b2 = fma(w, t, b2);
    w = loadLanes(rows + fourth, tail);
    a3 = fma(w, s, a3);
    b3 = fma(w, t, b3);
  }
  v128.store(out, sumEach(a0, a1, a2, a3));
  v128.store(out, sumEach(b0, b1, b2, b3), 16);
}

/** The same for one x: two sums per row, to hide the latency of the additions. */
function oneRow(rows: usize, step: usize, last: i32, x: usize, count: i32, out: usize): void {
  const second = last > 0 ? step : 0;
  const third = last > 1 ? 2 * step : second;
  const fourth = last > 2 ? 3 * step : third;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const end = x + (<usize>(count & ~7) << 2);
  while (x < end) {
    const s = v128.load(x);
    const t = v128.load(x, 16);
    a0 = fma(v128.load(rows), s, a0);
    b0 = fma(v128.load(rows, 16), t, b0);
    a1 = fma(v128.load(rows + second), s, a1);
    b1 = fma(v128.load(rows + second, 16), t, b1);
    a2 = fma(v128.load(rows + third), s, a2);
    b2 = fma(v128.load(rows + third, 16), t, b2);
    a3 = fma(v128.load(rows + fourth), s, a3);
    b3 = fma(v128.load(rows + fourth, 16), t, b3);
    x += 32;
    rows += 32;
  }
  for (let rest = count & 7; rest > 0; rest -= 4) {
    const s = loadLanes(x, rest);
    a0 = fma(loadLanes(rows, rest), s, a0);
    a1 = fma(loadLanes(rows + second, rest), s, a1);
    a2 = fma(loadLanes(rows + third, rest), s, a2);
    a3 = fma(loadLanes(rows + fourth, rest), s, a3);
    x += 16;
    rows += 16;
  }
  v128.store(out, sumEach(f32x4.add(a0, b0), f32x4.add(a1, b1), f32x4.add(a2, b2), f32x4.add(a3, b3)));
}

/** Four units of one row: products of the three gates at `products`, 32 bytes apart, or 0 for a state of zeros. */
function cell(
  x: usize, bias: usize, products: usize, previous: usize, y: usize, gates: usize, gateBytes: usize, lanes: i32,
): void {
  let r = loadLanes(x, lanes);
  let z = loadLanes(x + gateBytes, lanes);
  let m = f32x4.splat(0);
  let h = m;
  if (products) {
    r = f32x4.add(r, v128.load(products));
    z = f32x4.add(z, v128.load(products, 32));
    m = v128.load(products, 64);
    h = loadLanes(previous, lanes);
  }
  if (bias) {
    r = f32x4.add(r, loadLanes(bias, lanes));
    z = f32x4.add(z, loadLanes(bias + gateBytes, lanes));
    m = f32x4.add(m, loadLanes(bias + 2 * gateBytes, lanes));
  }
  r = sigmoid(r);
  z = sigmoid(z);
  const n = tanh(fma(r, m, loadLanes(x + 2 * gateBytes, lanes)));
  storeLanes(y, fma(z, f32x4.sub(h, n), n), lanes);
  if (gates) {
    storeLanes(gates, r, lanes);
    storeLanes(gates + gateBytes, z, lanes);
    storeLanes(gates + 2 * gateBytes, n, lanes);
    storeLanes(gates + 3 * gateBytes, m, lanes);
  }
}

/**
 * Steps `first` to `last` - 1, of which step T copies the last y to hT. args: x_gates, w_hh, b_hh, h0, y, hT, gates, scratch (128
 * bytes per thread), B, T, H, first, last, split units rather than rows.
 */
export function gru(args: usize, thread: i32, threads: i32): void {
  const x = pointer(args, 0);
  const weights = pointer(args, 1);
  const bias = pointer(args, 2);
  const h0 = pointer(args, 3);
  const y = pointer(args, 4);
  const hT = pointer(args, 5);
  const gates = pointer(args, 6);
  const products = pointer(args, 7) + (<usize>thread << 7);
  const batch = integer(args, 8);
  const length = integer(args, 9);
  const hidden = integer(args, 10);
  const last = integer(args, 12);
  const units = integer(args, 13) != 0;
  const bytes = <usize>hidden << 2;
  const groups = (hidden + 3) >> 2;
  const rowStart = units ? 0 : shareStart(batch, thread, threads);
  const rowEnd = units ? batch : shareStart(batch, thread + 1, threads);
  const groupStart = units ? shareStart(groups, thread, threads) : 0;
  const groupEnd = units ? shareStart(groups, thread + 1, threads) : groups;
  if (rowStart == rowEnd) return;
  const rowBytes = <usize>length * bytes;
  for (let t = integer(args, 11); t < last; t++) {
    if (t == length) {
      if (hT == 0) return;
      const at = <usize>groupStart << 4;
      const width = min(<usize>groupEnd << 4, bytes) - at;
      for (let row = rowStart; row < rowEnd; row++) {
        memory.copy(hT + <usize>row * bytes + at, y + <usize>row * rowBytes + rowBytes - bytes + at, width);
      }
      return;
    }
    const state = t ? y + <usize>(t - 1) * bytes : h0;
    const stateStride = t ? rowBytes : bytes;
    for (let group = groupStart; group < groupEnd; group++) {
      const unit = group << 2;
      const lanes = min(4, hidden - unit);
      const at = <usize>unit << 2;
      const rows = weights + <usize>unit * bytes;
      for (let row = rowStart; row < rowEnd; row += 2) {
        const pair = row + 1 < rowEnd;
        const sides = pair ? 2 : 1;
        const h = state + <usize>row * stateStride;
        if (state) {
          for (let gate = 0; gate < 3; gate++) {
            const from = rows + <usize>(gate * hidden) * bytes;
            const out = products + (gate << 5);
            if (pair) twoRows(from, bytes, lanes - 1, h, h + stateStride, hidden, out);
            else oneRow(from, bytes, lanes - 1, h, hidden, out);
          }
        }
        for (let side = 0; side < sides; side++) {
          const token = <usize>(row + side) * length + t;
          cell(
            x + 3 * token * bytes + at, bias ? bias + at : 0, state ? products + (side << 4) : 0,
            h + <usize>side * stateStride + at, y + token * bytes + at, gates ? gates + 4 * token * bytes + at : 0, bytes, lanes,
          );
        }
      }
    }
  }
}

/** target [H, 3H] is the transposed w_hh. args: w_hh, target, H. */
export function gru_transpose(args: usize, thread: i32, threads: i32): void {
  const hidden = integer(args, 2);
  const start = shareStart(hidden, thread, threads);
  const end = shareStart(hidden, thread + 1, threads);
  const target = pointer(args, 1) + ((<usize>start * 3 * hidden) << 2);
  transposeBlock(pointer(args, 0) + (start << 2), <usize>hidden << 2, 3 * hidden, end - start, target, 3 * <usize>hidden << 2);
}

/** Four units of one row, backwards: `total` is the gradient of h after this token but for dy. */
function cellGradient(
  total: v128, dy: usize, previous: usize, gates: usize, dx: usize, dGates: usize, carry: usize, kept: usize, gateBytes: usize,
  lanes: i32,
): void {
  const one = f32x4.splat(1);
  const r = loadLanes(gates, lanes);
  const z = loadLanes(gates + gateBytes, lanes);
  const n = loadLanes(gates + 2 * gateBytes, lanes);
  const h = previous ? loadLanes(previous, lanes) : f32x4.splat(0);
  if (dy) total = f32x4.add(total, loadLanes(dy, lanes));
  const rest = f32x4.sub(one, z);
  const dz = f32x4.mul(f32x4.mul(total, f32x4.sub(h, n)), f32x4.mul(z, rest));
  const dn = f32x4.mul(f32x4.mul(total, rest), f32x4.sub(one, f32x4.mul(n, n)));
  const dr = f32x4.mul(f32x4.mul(dn, loadLanes(gates + 3 * gateBytes, lanes)), f32x4.mul(r, f32x4.sub(one, r)));
  if (dx) {
    storeLanes(dx, dr, lanes);
    storeLanes(dx + gateBytes, dz, lanes);
    storeLanes(dx + 2 * gateBytes, dn, lanes);
  }
  storeLanes(dGates, dr, lanes);
  storeLanes(dGates + gateBytes, dz, lanes);
  storeLanes(dGates + 2 * gateBytes, f32x4.mul(dn, r), lanes);
  storeLanes(carry, f32x4.mul(total, z), lanes);
  if (kept) storeLanes(kept, h, lanes);
}

/**
 * Steps `first` to `last` - 1 counted from the last token; step T writes dh0. args: transposed w_hh, h0, y, gates, dy, dhT, dx,
 * dGates, dh0, previous, carry [B, H], scratch (128 bytes per thread), B, T, H, first, last, split units rather than rows.
 */
export function gru_gradient(args: usize, thread: i32, threads: i32): void {
  const weights = pointer(args, 0);
  const h0 = pointer(args, 1);
  const y = pointer(args, 2);
  const gates = pointer(args, 3);
  const dy = pointer(args, 4);
  const dhT = pointer(args, 5);
  const dx = pointer(args, 6);
  const dGates = pointer(args, 7);
  const dh0 = pointer(args, 8);
  const previous = pointer(args, 9);
  const carry = pointer(args, 10);
  const products = pointer(args, 11) + (<usize>thread << 7);
  const batch = integer(args, 12);
  const length = integer(args, 13);
  const hidden = integer(args, 14);
  const last = integer(args, 16);
  const units = integer(args, 17) != 0;
  const bytes = <usize>hidden << 2;
  const groups = (hidden + 3) >> 2;
  const rowStart = units ? 0 : shareStart(batch, thread, threads);
  const rowEnd = units ? batch : shareStart(batch, thread + 1, threads);
  const groupStart = units ? shareStart(groups, thread, threads) : 0;
  const groupEnd = units ? shareStart(groups, thread + 1, threads) : groups;
  if (rowStart == rowEnd) return;
  for (let step = integer(args, 15); step < last; step++) {
    const t = length - 1 - step;
    for (let group = groupStart; group < groupEnd; group++) {
      const unit = group << 2;
      const lanes = min(4, hidden - unit);
      const at = <usize>unit << 2;
      const rows = weights + 3 * <usize>unit * bytes;
      for (let row = rowStart; row < rowEnd; row += 2) {
        const pair = row + 1 < rowEnd;
        const sides = pair ? 2 : 1;
        if (step) {
          const later = dGates + 3 * (<usize>row * length + t + 1) * bytes;
          if (pair) twoRows(rows, 3 * bytes, lanes - 1, later, later + 3 * <usize>length * bytes, 3 * hidden, products);
          else oneRow(rows, 3 * bytes, lanes - 1, later, 3 * hidden, products);
        }
        for (let side = 0; side < sides; side++) {
          const state = <usize>(row + side) * bytes + at;
          let total = f32x4.splat(0);
          if (step) total = f32x4.add(v128.load(products + (side << 4)), loadLanes(carry + state, lanes));
          else if (dhT) total = loadLanes(dhT + state, lanes);
          if (t < 0) {
            storeLanes(dh0 + state, total, lanes);
            continue;
          }
          const token = (<usize>(row + side) * length + t) * bytes;
          const before = t ? y + token - bytes + at : h0 ? h0 + state : 0;
          cellGradient(
            total, dy ? dy + token + at : 0, before, gates + 4 * token + at, dx ? dx + 3 * token + at : 0, dGates + 3 * token + at,
            carry + state, previous ? previous + token + at : 0, bytes, lanes,
          );
        }
      }
    }
  }
}
