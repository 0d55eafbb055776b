// What the machine can do at most, for benchmarks to be measured against; no program uses these.
import { integer, pointer, shareStart } from "../common/args.as";
import { fma } from "../common/simd.as";

/**
 * Multiply-adds in registers only: each thread does `steps` rounds of 10 independent chains of 128 bits (80 FLOP a
 * round), enough to hide the latency. args: [out (one float per thread), steps].
 */
export function bench_multiply_add(args: usize, thread: i32, threads: i32): void {
  const x = f32x4.splat(0.5), y = f32x4.splat(0.25);
  let c0 = x, c1 = y, c2 = x, c3 = y, c4 = x, c5 = y, c6 = x, c7 = y, c8 = x, c9 = y;
  for (let i = integer(args, 1); i > 0; i--) {
    c0 = fma(c0, x, y);
    c1 = fma(c1, x, y);
    c2 = fma(c2, x, y);
    c3 = fma(c3, x, y);
    c4 = fma(c4, x, y);
    c5 = fma(c5, x, y);
    c6 = fma(c6, x, y);
    c7 = fma(c7, x, y);
    c8 = fma(c8, x, y);
    c9 = fma(c9, x, y);
  }
  const sum = f32x4.add(
    f32x4.add(f32x4.add(c0, c1), f32x4.add(c2, c3)),
    f32x4.add(f32x4.add(f32x4.add(c4, c5), f32x4.add(c6, c7)), f32x4.add(c8, c9)),
  );
  store<f32>(pointer(args, 0) + (thread << 2), f32x4.extract_lane(sum, 0));
}

/** Reads `words` floats (a multiple of 16 a thread is read), adding them up. args: [source, out (one float per thread), words]. */
export function bench_read(args: usize, thread: i32, threads: i32): void {
  const lines = integer(args, 2) >> 4;
  let at = pointer(args, 0) + (<usize>shareStart(lines, thread, threads) << 6);
  const end = pointer(args, 0) + (<usize>shareStart(lines, thread + 1, threads) << 6);
  let a = f32x4.splat(0), b = a, c = a, d = a;
  for (; at < end; at += 64) {
    a = f32x4.add(a, v128.load(at));
    b = f32x4.add(b, v128.load(at, 16));
    c = f32x4.add(c, v128.load(at, 32));
    d = f32x4.add(d, v128.load(at, 48));
  }
  const sum = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
  store<f32>(pointer(args, 1) + (thread << 2), f32x4.extract_lane(sum, 0));
}
