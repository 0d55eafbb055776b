// linear_attention for one token per row and one output per state, any rule; bound by reading and writing the state.
// args as in linear_attention_chunked.as.ts. Threads share batch × heads × blocks of 32 value columns: a block of the
// state goes through the first cache once. With r = e^a Sᵀk and w = e^a Sᵀq the delta rules write u = β(v - r) and read
// y = w + (k·q) u, so that one pass over the state gives both and a second one updates it.
import { integer, pointer, scalar, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { exp } from "../common/math.as";
import { dotRow } from "../common/rows.as";
import { fma } from "../common/simd.as";

const BLOCK = 32;

// Scratch of a thread: decays [dk + 4], then r, w, u of a block.

// Two rows of the state at a time; then what is left of each, the columns that fill no vector or the last odd row.

/** S ← e^a S + k vᵀ, then y += Sᵀq, for a block of `columns`. */
function write(
  from: usize, to: usize, stride: i32, decays: usize, k: usize, q: usize, keyDim: i32, v: usize, y: usize, columns: i32,
): void {
  const whole = (columns & ~3) << 2;
  for (let n = 0; n + 1 < keyDim; n += 2) {
    const a = v128.load_splat<f32>(decays + (n << 2));
    const a2 = v128.load_splat<f32>(decays + (n << 2), 4);
    const kn = v128.load_splat<f32>(k + (n << 2));
    const kn2 = v128.load_splat<f32>(k + (n << 2), 4);
    const qn = v128.load_splat<f32>(q + (n << 2));
    const qn2 = v128.load_splat<f32>(q + (n << 2), 4);
    const x = from + n * stride;
    const z = to + n * stride;
    for (let c = 0; c < whole; c += 16) {
      const vc = v128.load(v + c);
      const s = fma(a, v128.load(x + c), f32x4.mul(kn, vc));
      const s2 = fma(a2, v128.load(x + stride + c), f32x4.mul(kn2, vc));
      v128.store(y + c, fma(qn2, s2, fma(qn, s, v128.load(y + c))));
      v128.store(z + c, s);
      v128.store(z + stride + c, s2);
    }
  }
  for (let n = 0; n < keyDim; n++) {
    const a = v128.load_splat<f32>(decays + (n << 2));
    const kn = v128.load_splat<f32>(k + (n << 2));
    const qn = v128.load_splat<f32>(q + (n << 2));
    for (let c = (n | 1) < keyDim ? whole : 0; c < columns << 2; c += 16) {
      const lanes = columns - (c >> 2);
      const s = fma(a, loadLanes(from + n * stride + c, lanes), f32x4.mul(kn, v128.load(v + c)));
      storeLanes(to + n * stride + c, s, lanes);
      v128.store(y + c, fma(qn, s, v128.load(y + c)));
    }
  }
}

/** r += e^a Sᵀk, w += e^a Sᵀq. */
function read(
  from: usize, stride: i32, decays: usize, k: usize, q: usize, keyDim: i32, r: usize, w: usize, columns: i32,
): void {
  const whole = (columns & ~3) << 2;
  for (let n = 0; n + 1 < keyDim; n += 2) {
    const a = load<f32>(decays + (n << 2));
    const a2 = load<f32>(decays + (n << 2), 4);
    const kn = f32x4.splat(a * load<f32>(k + (n << 2)));
    const kn2 = f32x4.splat(a2 * load<f32>(k + (n << 2), 4));
    const qn = f32x4.splat(a * load<f32>(q + (n << 2)));
    const qn2 = f32x4.splat(a2 * load<f32>(q + (n << 2), 4));
    const x = from + n * stride;
    for (let c = 0; c < whole; c += 16) {
      const s = v128.load(x + c);
      const s2 = v128.load(x + stride + c);
      v128.store(r + c, fma(kn2, s2, fma(kn, s, v128.load(r + c))));
      v128.store(w + c, fma(qn2, s2, fma(qn, s, v128.load(w + c))));
    }
  }
  for (let n = 0; n < keyDim; n++) {
    const a = load<f32>(decays + (n << 2));
    const kn = f32x4.splat(a * load<f32>(k + (n << 2)));
    const qn = f32x4.splat(a * load<f32>(q + (n << 2)));
    for (let c = (n | 1) < keyDim ? whole : 0; c < columns << 2; c += 16) {
      const s = loadLanes(from + n * stride + c, columns - (c >> 2));
      v128.store(r + c, fma(kn, s, v128.load(r + c)));
      v128.store(w + c, fma(qn, s, v128.load(w + c)));
    }
  }
}

/** S ← e^a S + k uᵀ. */
function update(from: usize, to: usize, stride: i32, decays: usize, k: usize, keyDim: i32, u: usize, columns: i32): void {
  const whole = (columns & ~3) << 2;
  for (let n = 0; n < keyDim; n++) {
    const a = v128.load_splat<f32>(decays + (n << 2));
    const kn = v128.load_splat<f32>(k + (n << 2));
    for (let c = 0; c < whole; c += 16) {
      v128.store(to + c, fma(a, v128.load(from + c), f32x4.mul(kn, v128.load(u + c))));
    }
    if (whole < columns << 2) {
      const lanes = columns & 3;
      const s = fma(a, loadLanes(from + whole, lanes), f32x4.mul(kn, v128.load(u + whole)));
      storeLanes(to + whole, s, lanes);
    }
    from += stride;
    to += stride;
  }
}

export function linear_attention_step(args: usize, thread: i32, threads: i32): void {
  const batch = integer(args, 10);
  const queryHeads = integer(args, 12);
  const keyHeads = integer(args, 13);
  const heads = integer(args, 14);
  const keyDim = integer(args, 15);
  const valueDim = integer(args, 16);
  const decay = pointer(args, 3);
  const beta = pointer(args, 4);
  const s0 = pointer(args, 5);
  const starts = pointer(args, 8);
  const perKey = integer(args, 20) != 0;
  const scale = f32x4.splat(scalar(args, 21));
  const delta = integer(args, 23) != 0;
  const decays = pointer(args, 9) + thread * integer(args, 22);
  const r = decays + (keyDim + 4 << 2);
  const w = r + (BLOCK << 2);
  const u = w + (BLOCK << 2);
  const stride = valueDim << 2;

  const blocks = (valueDim + BLOCK - 1) / BLOCK;
  const end = shareStart(batch * heads * blocks, thread + 1, threads);
  let prepared = -1;
  for (let unit = shareStart(batch * heads * blocks, thread, threads); unit < end; unit++) {
    const head = unit / blocks;
    const h = head % heads;
    const b = head / heads;
    const first = unit % blocks * BLOCK;
    const columns = min(BLOCK, valueDim - first);
    const at = (head * keyDim * valueDim + first) << 2;
    const k = pointer(args, 1) + ((b * keyHeads + h / (heads / keyHeads)) * keyDim << 2);
    const q = pointer(args, 0) + ((b * queryHeads + h / (heads / queryHeads)) * keyDim << 2);
    const v = pointer(args, 2) + (head * valueDim + first << 2);
    const y = pointer(args, 6) + (head * valueDim + first << 2);
    const to = pointer(args, 7) + at;
    if (head != prepared) {
      prepared = head;
      const gate = decay == 0 ? 0 : decay + b * integer(args, 17) + h * integer(args, 19);
      for (let n = 0; n < keyDim; n += 4) {
        let a = f32x4.splat(0);
        if (gate != 0) a = perKey ? loadLanes(gate + (n << 2), keyDim - n) : v128.load_splat<f32>(gate);
        v128.store(decays + (n << 2), exp(a));
      }
    }
    let from = to;
    if (s0 != 0) from = s0 + at;
    else for (let n = 0; n < keyDim; n++) memory.fill(to + n * stride, 0, columns << 2);
    if (starts != 0) for (let n = 0; n < keyDim; n++) memory.copy(starts + at + n * stride, from + n * stride, columns << 2);
    memory.fill(r, 0, BLOCK << 3);
    if (delta) {
      read(from, stride, decays, k, q, keyDim, r, w, columns);
      const strength = v128.load_splat<f32>(beta + (head << 2));
      const overlap = f32x4.splat(dotRow(k, q, keyDim));
      for (let c = 0; c < columns; c += 4) {
        const i = c << 2;
        const write = f32x4.mul(strength, f32x4.sub(loadLanes(v + i, columns - c), v128.load(r + i)));
        v128.store(u + i, write);
        storeLanes(y + i, f32x4.mul(scale, fma(overlap, write, v128.load(w + i))), columns - c);
      }
      update(from, to, stride, decays, k, keyDim, u, columns);
    } else {
      for (let c = 0; c < columns; c += 4) v128.store(u + (c << 2), loadLanes(v + (c << 2), columns - c));
      write(from, to, stride, decays, k, q, keyDim, u, r, columns);
      for (let c = 0; c < columns; c += 4) storeLanes(y + (c << 2), f32x4.mul(scale, v128.load(r + (c << 2))), columns - c);
    }
  }
}
