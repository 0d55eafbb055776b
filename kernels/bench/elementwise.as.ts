// Elementwise loops as one would write them by hand, for the map interpreter to be measured against; no program uses these.
import { integer, pointer, shareStart } from "../common/args.as";
import { sigmoid, siluGradient, silu } from "../common/math.as";

/** y = a * b. args: [a, b, y, count], count a multiple of 16 per thread. */
export function bench_mul(args: usize, thread: i32, threads: i32): void {
  const lines = integer(args, 3) >> 4;
  let at = <usize>shareStart(lines, thread, threads) << 6;
  const end = <usize>shareStart(lines, thread + 1, threads) << 6;
  const a = pointer(args, 0);
  const b = pointer(args, 1);
  const y = pointer(args, 2);
  for (; at < end; at += 64) {
    v128.store(y + at, f32x4.mul(v128.load(a + at), v128.load(b + at)));
    v128.store(y + at, f32x4.mul(v128.load(a + at, 16), v128.load(b + at, 16)), 16);
    v128.store(y + at, f32x4.mul(v128.load(a + at, 32), v128.load(b + at, 32)), 32);
    v128.store(y + at, f32x4.mul(v128.load(a + at, 48), v128.load(b + at, 48)), 48);
  }
}

/** y = silu(a) * b. args: [a, b, y, count]. */
export function bench_silu_mul(args: usize, thread: i32, threads: i32): void {
  const lines = integer(args, 3) >> 4;
  let at = <usize>shareStart(lines, thread, threads) << 6;
  const end = <usize>shareStart(lines, thread + 1, threads) << 6;
  const a = pointer(args, 0);
  const b = pointer(args, 1);
  const y = pointer(args, 2);
  for (; at < end; at += 16) v128.store(y + at, f32x4.mul(silu(v128.load(a + at)), v128.load(b + at)));
}

/** y = silu'(a) * b * c, one of the two gradients of silu(a) * b. args: [a, b, c, y, count]. */
export function bench_silu_gradient(args: usize, thread: i32, threads: i32): void {
  const lines = integer(args, 4) >> 4;
  let at = <usize>shareStart(lines, thread, threads) << 6;
  const end = <usize>shareStart(lines, thread + 1, threads) << 6;
  const a = pointer(args, 0);
  const b = pointer(args, 1);
  const c = pointer(args, 2);
  const y = pointer(args, 3);
  for (; at < end; at += 16) {
    const x = v128.load(a + at);
    v128.store(y + at, f32x4.mul(f32x4.mul(siluGradient(x, sigmoid(x)), v128.load(b + at)), v128.load(c + at)));
  }
}

/** y = x + bias over rows. args: [x, bias, y, rows, columns], columns a multiple of 4. */
export function bench_bias(args: usize, thread: i32, threads: i32): void {
  const rows = integer(args, 3);
  const bytes = <usize>integer(args, 4) << 2;
  const bias = pointer(args, 1);
  const end = shareStart(rows, thread + 1, threads);
  for (let row = shareStart(rows, thread, threads); row < end; row++) {
    const x = pointer(args, 0) + <usize>row * bytes;
    const y = pointer(args, 2) + <usize>row * bytes;
    for (let at: usize = 0; at < bytes; at += 16) v128.store(y + at, f32x4.add(v128.load(x + at), v128.load(bias + at)));
  }
}

/** y = x * s, one s per row. args: [x, s, y, rows, columns], columns a multiple of 4. */
export function bench_row_scale(args: usize, thread: i32, threads: i32): void {
  const rows = integer(args, 3);
  const bytes = <usize>integer(args, 4) << 2;
  const end = shareStart(rows, thread + 1, threads);
  for (let row = shareStart(rows, thread, threads); row < end; row++) {
    const x = pointer(args, 0) + <usize>row * bytes;
    const y = pointer(args, 2) + <usize>row * bytes;
    const s = f32x4.splat(load<f32>(pointer(args, 1) + (<usize>row << 2)));
    for (let at: usize = 0; at < bytes; at += 16) v128.store(y + at, f32x4.mul(v128.load(x + at), s));
  }
}
