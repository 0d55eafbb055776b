// wkv: num = e^w num + e^k v, den = e^w den + e^k, both relative to e^o; k, v, y [B, T, D], w, u [D], states [B, 3, D] as (num, den, o), where a
// den of 0 is a sum of nothing. Threads share pairs of a batch row and a line of 16 channels, which they walk in blocks of tokens, four channels
// at a time, so that whole cache lines are used while they are there; the sums wait between blocks in scratch. wkv_gradient: backwards.
import { integer, optional, pointer, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { expNonPositive } from "../common/math.as";
import { fma } from "../common/simd.as";

const LINE: i32 = 16;
const BLOCK: i32 = 32;
/** The exponent of a sum of nothing. */
const LEAST: f32 = -1e38;

/** o, or LEAST where nothing has been seen. */
// @ts-ignore: decorator
@inline
function exponentOf(den: v128, o: v128): v128 {
  return v128.bitselect(f32x4.splat(LEAST), o, f32x4.eq(den, f32x4.splat(0)));
}

/** args: k, v, w, u, s0, y, sT, states, scratch (192 bytes per thread), B, T, D. */
export function wkv(args: usize, thread: i32, threads: i32): void {
  const sums = pointer(args, 8) + <usize>thread * 192;
  const tokens = integer(args, 10);
  const channels = integer(args, 11);
  const lines = (channels + LINE - 1) / LINE;
  const stride = <usize>channels << 2;
  const count = integer(args, 9) * lines;
  const end = shareStart(count, thread + 1, threads);
  for (let item = shareStart(count, thread, threads); item < end; item++) {
    const row = item / lines;
    const begin = (item % lines) * LINE;
    const state = <usize>row * 3 * stride + (<usize>begin << 2);
    for (let c = 0; c < min(LINE, channels - begin); c += 4) {
      const lanes = min(4, channels - begin - c);
      const from = optional(pointer(args, 4), state + (<usize>c << 2));
      const slot = sums + (<usize>c << 2);
      for (let part = 0; part < 3; part++) {
        v128.store(slot + (part << 6), from ? loadLanes(from + <usize>part * stride, lanes) : f32x4.splat(0));
      }
    }
    for (let first = 0; first < tokens; first += BLOCK) {
      const last = min(tokens, first + BLOCK);
      for (let c = begin; c < min(channels, begin + LINE); c += 4) {
        walk(args, row * tokens, first, last, c, min(4, channels - c), stride, sums + (<usize>(c - begin) << 2));
      }
    }
    if (pointer(args, 6) == 0) continue;
    for (let c = 0; c < min(LINE, channels - begin); c += 4) {
      const lanes = min(4, channels - begin - c);
      const to = pointer(args, 6) + state + (<usize>c << 2);
      for (let part = 0; part < 3; part++) storeLanes(to + <usize>part * stride, v128.load(sums + (<usize>c << 2) + (part << 6)), lanes);
    }
  }
}

/** Tokens `first` to `last` - 1 of a row that begins at token `row`, for up to four channels from `c` on. */
function walk(args: usize, row: i32, first: i32, last: i32, c: i32, lanes: i32, stride: usize, slot: usize): void {
  const channel = <usize>c << 2;
  const w = loadLanes(pointer(args, 2) + channel, lanes);
  const u = loadLanes(pointer(args, 3) + channel, lanes);
  let num = v128.load(slot);
  let den = v128.load(slot, 64);
  let o = v128.load(slot, 128);
  for (let t = first; t < last; t++) {
    const at = <usize>(row + t) * stride + channel;
    const key = loadLanes(pointer(args, 0) + at, lanes);
    const value = loadLanes(pointer(args, 1) + at, lanes);
    if (pointer(args, 7)) {
      const to = pointer(args, 7) + <usize>(row + t) * 3 * stride + channel;
      storeLanes(to, num, lanes);
      storeLanes(to + stride, den, lanes);
      storeLanes(to + 2 * stride, o, lanes);
    }
    const old = exponentOf(den, o);
    const now = f32x4.add(u, key);
    const top = f32x4.max(old, now);
    const kept = expNonPositive(f32x4.sub(old, top));
    const fresh = expNonPositive(f32x4.sub(now, top));
    storeLanes(
      pointer(args, 5) + at,
      f32x4.div(fma(kept, num, f32x4.mul(fresh, value)), fma(kept, den, fresh)),
      lanes,
    );
    const faded = f32x4.add(w, old);
    o = f32x4.max(faded, key);
    const decay = expNonPositive(f32x4.sub(faded, o));
    const added = expNonPositive(f32x4.sub(key, o));
    num = fma(decay, num, f32x4.mul(added, value));
    den = fma(decay, den, added);
  }
  v128.store(slot, num);
  v128.store(slot, den, 64);
  v128.store(slot, o, 128);
}

/** args: k, v, w, u, states, sT, dy, dsT, dk, dv, dw, du, ds0, scratch (320 bytes per thread), B, T, D. */
export function wkv_gradient(args: usize, thread: i32, threads: i32): void {
  const sums = pointer(args, 13) + <usize>thread * 320;
  const tokens = integer(args, 15);
  const channels = integer(args, 16);
  const lines = (channels + LINE - 1) / LINE;
  const stride = <usize>channels << 2;
  const count = integer(args, 14) * lines;
  const end = shareStart(count, thread + 1, threads);
  for (let item = shareStart(count, thread, threads); item < end; item++) {
    const row = item / lines;
    const begin = (item % lines) * LINE;
    memory.fill(sums, 0, 320);
    if (pointer(args, 7)) {
      for (let c = 0; c < min(LINE, channels - begin); c += 4) {
        const state = <usize>row * 3 * stride + (<usize>(begin + c) << 2);
        seed(pointer(args, 7) + state, pointer(args, 5) + state, stride, min(4, channels - begin - c), sums + (<usize>c << 2));
      }
    }
    for (let last = tokens; last > 0; last -= BLOCK) {
      for (let c = begin; c < min(channels, begin + LINE); c += 4) {
        walkBack(args, row, tokens, max(0, last - BLOCK), last, c, min(4, channels - c), stride, sums + (<usize>(c - begin) << 2));
      }
    }
  }
}

/** Gradients of num, den and o after the last token. */
function seed(gradient: usize, state: usize, stride: usize, lanes: i32, slot: usize): void {
  const dNum = loadLanes(gradient, lanes);
  const dDen = loadLanes(gradient + stride, lanes);
  const fall = fma(dNum, loadLanes(state, lanes), f32x4.mul(dDen, loadLanes(state + stride, lanes)));
  v128.store(slot, dNum);
  v128.store(slot, dDen, 64);
  v128.store(slot, f32x4.sub(loadLanes(gradient + 2 * stride, lanes), fall), 128);
}

/** Tokens `last` - 1 down to `first` of batch row `row`; at slot, 64 bytes apart, the gradients of num, den, o, w and u. */
function walkBack(args: usize, row: i32, tokens: i32, first: i32, last: i32, c: i32, lanes: i32, stride: usize, slot: usize): void {
  const channel = <usize>c << 2;
  const w = loadLanes(pointer(args, 2) + channel, lanes);
  const u = loadLanes(pointer(args, 3) + channel, lanes);
  let dNum = v128.load(slot);
  let dDen = v128.load(slot, 64);
  let dO = v128.load(slot, 128);
  let dW = v128.load(slot, 192);
  let dU = v128.load(slot, 256);
  let num = f32x4.splat(0);
  let den = num;
  for (let t = last - 1; t >= first; t--) {
    const token = <usize>(row * tokens + t);
    const at = token * stride + channel;
    const state = pointer(args, 4) + 3 * token * stride + channel;
    const key = loadLanes(pointer(args, 0) + at, lanes);
    const value = loadLanes(pointer(args, 1) + at, lanes);
    num = loadLanes(state, lanes);
    den = loadLanes(state + stride, lanes);
    const old = exponentOf(den, loadLanes(state + 2 * stride, lanes));
    const faded = f32x4.add(w, old);
    const o = f32x4.max(faded, key);
    const decay = expNonPositive(f32x4.sub(faded, o));
    const added = expNonPositive(f32x4.sub(key, o));
    const isOld = f32x4.ge(faded, key);
    const now = f32x4.add(u, key);
    const top = f32x4.max(old, now);
    const kept = expNonPositive(f32x4.sub(old, top));
    const fresh = expNonPositive(f32x4.sub(now, top));
    const inverse = f32x4.div(f32x4.splat(1), fma(kept, den, fresh));
    const dTop = pointer(args, 6) ? f32x4.mul(loadLanes(pointer(args, 6) + at, lanes), inverse) : f32x4.splat(0);
    const mean = f32x4.mul(fma(kept, num, f32x4.mul(fresh, value)), inverse);
    const dBottom = f32x4.neg(f32x4.mul(dTop, mean));
    const dFresh = f32x4.mul(fresh, f32x4.mul(dTop, f32x4.sub(value, mean)));
    if (pointer(args, 9)) storeLanes(pointer(args, 9) + at, fma(dNum, added, f32x4.mul(dTop, fresh)), lanes);
    if (pointer(args, 8)) {
      const direct = f32x4.add(fma(added, fma(dNum, value, dDen), dFresh), v128.andnot(dO, isOld));
      storeLanes(pointer(args, 8) + at, direct, lanes);
    }
    dO = v128.and(dO, isOld);
    dW = f32x4.add(dW, fma(decay, fma(dNum, num, f32x4.mul(dDen, den)), dO));
    dU = f32x4.add(dU, dFresh);
    dNum = fma(decay, dNum, f32x4.mul(kept, dTop));
    dDen = fma(decay, dDen, f32x4.mul(kept, dBottom));
  }
  v128.store(slot, dNum);
  v128.store(slot, dDen, 64);
  v128.store(slot, dO, 128);
  v128.store(slot, dW, 192);
  v128.store(slot, dU, 256);
  if (first > 0) return;
  const out = <usize>row * stride + channel;
  if (pointer(args, 10)) storeLanes(pointer(args, 10) + out, dW, lanes);
  if (pointer(args, 11)) storeLanes(pointer(args, 11) + out, dU, lanes);
  if (pointer(args, 12)) {
    const to = pointer(args, 12) + <usize>row * 3 * stride + channel;
    storeLanes(to, dNum, lanes);
    storeLanes(to + stride, dDen, lanes);
    storeLanes(to + 2 * stride, f32x4.add(dO, fma(dNum, num, f32x4.mul(dDen, den))), lanes);
  }
}
