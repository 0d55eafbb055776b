// Each function of common/math applied elementwise, for tests and benchmarks. args: [source, target, count]; threads
// take contiguous shares.
import { integer, pointer, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import * as math from "../common/math.as";

// @ts-ignore: decorator
@inline
function each(args: usize, thread: i32, threads: i32, f: (x: v128) => v128): void {
  const source = pointer(args, 0);
  const target = pointer(args, 1);
  const count = integer(args, 2);
  const end = shareStart(count, thread + 1, threads);
  for (let i = shareStart(count, thread, threads); i < end; i += 4) {
    const lanes = min(4, end - i);
    storeLanes(target + (i << 2), f(loadLanes(source + (i << 2), lanes)), lanes);
  }
}

export function math_exp(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.exp(x));
}
export function math_exp_non_positive(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.expNonPositive(x));
}
export function math_exp2(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.exp2(x));
}
export function math_exp2_non_positive(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.exp2NonPositive(x));
}
export function math_log(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.log(x));
}
export function math_log1p(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.log1p(x));
}
export function math_softplus(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.softplus(x));
}
export function math_sigmoid(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.sigmoid(x));
}
export function math_sigmoid_gradient(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.sigmoidGradient(math.sigmoid(x)));
}
export function math_silu(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.silu(x));
}
export function math_silu_gradient(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.siluGradient(x, math.sigmoid(x)));
}
export function math_tanh(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.tanh(x));
}
export function math_erf(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.erf(x));
}
export function math_gelu(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.gelu(x));
}
export function math_gelu_gradient(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.geluGradient(x, math.normalCdf(x)));
}
export function math_sin(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.sin(x));
}
export function math_cos(args: usize, thread: i32, threads: i32): void {
  each(args, thread, threads, (x) => math.cos(x));
}
