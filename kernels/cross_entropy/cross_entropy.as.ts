// cross_entropy: logits [rows, classes], targets i32 [rows] -> mean loss, log-sum-exp per row, number of rows counted.
// Threads share the rows. A row is read once, in blocks that stay in L1 between taking their maximum and summing their
// exponentials (online softmax); no probability is ever stored. The gradient overwrites the logits where it may.
import { integer, optional, pointer, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { exp, expNonPositive, log } from "../common/math.as";
import { maxRow } from "../common/rows.as";
import { sumLanes } from "../common/simd.as";

/** Logits per block: 8 KiB. */
const BLOCK: i32 = 2048;

/** sum of exp(x[i] - center). */
function sumExponentials(x: usize, count: i32, center: f32): f32 {
  const middle = f32x4.splat(center);
  let a = f32x4.splat(0);
  let b = a;
  let at = x;
  const end = x + (<usize>count << 2);
  for (; at + 32 <= end; at += 32) {
    a = f32x4.add(a, expNonPositive(f32x4.sub(v128.load(at), middle)));
    b = f32x4.add(b, expNonPositive(f32x4.sub(v128.load(at, 16), middle)));
  }
  for (; at + 16 <= end; at += 16) a = f32x4.add(a, expNonPositive(f32x4.sub(v128.load(at), middle)));
  a = f32x4.add(a, b);
  let total = sumLanes(a);
  const rest = <i32>(end - at) >> 2;
  if (rest) {
    const last = expNonPositive(f32x4.sub(loadLanes(at, rest), middle));
    total += f32x4.extract_lane(last, 0);
    if (rest > 1) total += f32x4.extract_lane(last, 1);
    if (rest > 2) total += f32x4.extract_lane(last, 2);
  }
  return total;
}

// @ts-ignore: decorator
@inline
function scalarExp(x: f32): f32 {
  return f32x4.extract_lane(exp(f32x4.splat(x)), 0);
}

/** log(sum of exp(x[i])) - x[target], to f32 accuracy however large the logits; stores log(sum of exp(x[i])) at `lse`. */
function negativeLogLikelihood(x: usize, count: i32, target: i32, lse: usize): f32 {
  let largest: f32 = -Infinity;
  let sum: f32 = 0;
  for (let start = 0; start < count; start += BLOCK) {
    const size = min(BLOCK, count - start);
    const block = x + (<usize>start << 2);
    const top = maxRow(block, size);
    if (!(top <= largest)) {
      // Also where top is NaN. -infinity - -infinity never arises: an empty sum is not rescaled.
      if (start) sum *= scalarExp(largest - top);
      largest = top;
    }
    if (largest != -Infinity) sum += sumExponentials(block, size, largest);
  }
  const logSum = f32x4.extract_lane(log(f32x4.splat(sum)), 0);
  if (lse) store<f32>(lse, largest + logSum);
  if (<u32>target >= <u32>count) return NaN;
  return largest - load<f32>(x + (<usize>target << 2)) + logSum;
}

/**
 * args: [logits, targets, losses (scratch [rows]), lse [rows], rows, classes, ignore]. losses[r] = lse - logits[target];
 * 0 where the target is `ignore`; NaN where it is no class, so that the mistake shows in the loss.
 */
export function cross_entropy(args: usize, thread: i32, threads: i32): void {
  const logits = pointer(args, 0);
  const targets = pointer(args, 1);
  const losses = pointer(args, 2);
  const lses = pointer(args, 3);
  const rows = integer(args, 4);
  const classes = integer(args, 5);
  const ignore = integer(args, 6);
  const end = shareStart(rows, thread + 1, threads);
  for (let row = shareStart(rows, thread, threads); row < end; row++) {
    const offset = <usize>row << 2;
    const target = load<i32>(targets + offset);
    const x = logits + ((<usize>row * classes) << 2);
    if (target == ignore && lses == 0) {
      store<f32>(losses + offset, 0);
      continue;
    }
    const loss = negativeLogLikelihood(x, classes, target, optional(lses, offset));
    store<f32>(losses + offset, target == ignore ? 0 : loss);
  }
}

/** args: [losses [rows], targets, loss?, count?, rows, ignore]: mean over counted rows (0 if none), and their number. */
export function cross_entropy_mean(args: usize, thread: i32, threads: i32): void {
  if (thread != 0) return;
  const losses = pointer(args, 0);
  const targets = pointer(args, 1);
  const loss = pointer(args, 2);
  const count = pointer(args, 3);
  const rows = integer(args, 4);
  const ignore = integer(args, 5);
  let sum: f64 = 0;
  let counted = 0;
  for (let row = 0; row < rows; row++) {
    sum += <f64>load<f32>(losses + (<usize>row << 2));
    counted += i32(load<i32>(targets + (<usize>row << 2)) != ignore);
  }
  if (loss) store<f32>(loss, counted ? <f32>(sum / <f64>counted) : 0);
  if (count) store<f32>(count, <f32>counted);
}

/**
 * args: [logits, targets, lse [rows], count, dloss?, dlse? [rows], dlogits, rows, classes, ignore].
 * dlogits = softmax(logits) * (g + dlse) - g at the target, g = dloss / count, 0 for ignored rows; NaN rows where the
 * target is no class. dlogits may be the memory of logits.
 */
export function cross_entropy_gradient(args: usize, thread: i32, threads: i32): void {
  const logits = pointer(args, 0);
  const targets = pointer(args, 1);
  const lses = pointer(args, 2);
  const counted = load<f32>(pointer(args, 3));
  const dloss = pointer(args, 4);
  const dlses = pointer(args, 5);
  const dlogits = pointer(args, 6);
  const rows = integer(args, 7);
  const classes = integer(args, 8);
  const ignore = integer(args, 9);
  const mean: f32 = dloss != 0 && counted > 0 ? load<f32>(dloss) / counted : 0;
  const bytes = <usize>classes << 2;
  const full = bytes & ~15;
  const rest = classes & 3;
  const end = shareStart(rows, thread + 1, threads);
  for (let row = shareStart(rows, thread, threads); row < end; row++) {
    const offset = <usize>row << 2;
    const target = load<i32>(targets + offset);
    const x = logits + <usize>row * bytes;
    const dx = dlogits + <usize>row * bytes;
    const kept = target != ignore;
    const valid = <u32>target < <u32>classes;
    const g: f32 = kept ? (valid ? mean : NaN) : 0;
    const factor = g + (dlses ? load<f32>(dlses + offset) : 0);
    if (factor == 0 && g == 0) {
      memory.fill(dx, 0, bytes);
      continue;
    }
    const weight = f32x4.splat(factor);
    const lse = f32x4.splat(load<f32>(lses + offset));
    let at: usize = 0;
    for (; at < full; at += 16) v128.store(dx + at, f32x4.mul(expNonPositive(f32x4.sub(v128.load(x + at), lse)), weight));
    if (rest) storeLanes(dx + at, f32x4.mul(expNonPositive(f32x4.sub(loadLanes(x + at, rest), lse)), weight), rest);
    if (kept && valid) {
      const hit = dx + (<usize>target << 2);
      store<f32>(hit, load<f32>(hit) - g);
    }
  }
}
