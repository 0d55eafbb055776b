// top_k: logits [rows, experts] -> for each row the k experts of the best score and their weights; and its gradient.
// Threads share the rows, each with scratch for one row of scores. Experts are found one by one: k passes over a row.
import { integer, pointer, scalar, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { expNonPositive, sigmoid } from "../common/math.as";
import { maxRow, sumRow } from "../common/rows.as";

/** softmax or sigmoid of `count` logits at x. */
function scoreRow(x: usize, target: usize, count: i32, isSigmoid: bool): void {
  const largest = f32x4.splat(isSigmoid ? 0 : maxRow(x, count));
  for (let i = 0; i < count; i += 4) {
    const lanes = min(4, count - i);
    const at = <usize>i << 2;
    const logits = loadLanes(x + at, lanes);
    storeLanes(target + at, isSigmoid ? sigmoid(logits) : expNonPositive(f32x4.sub(logits, largest)), lanes);
  }
  if (isSigmoid) return;
  const share = f32x4.splat(1 / sumRow(target, count));
  for (let i = 0; i < count; i += 4) {
    const lanes = min(4, count - i);
    const at = target + (<usize>i << 2);
    storeLanes(at, f32x4.mul(loadLanes(at, lanes), share), lanes);
  }
}

/** The position of the largest of `count` values, the lowest of equals; it is taken out: -infinity in its place. */
function take(values: usize, count: i32): i32 {
  let best: f32 = -Infinity;
  // Where nothing can be compared (NaN), an index that is one all the same.
  let position = 0;
  for (let i = 0; i < count; i++) {
    const value = load<f32>(values + (<usize>i << 2));
    if (value > best) {
      best = value;
      position = i;
    }
  }
  store<f32>(values + (<usize>position << 2), -Infinity);
  return position;
}

/** Takes every expert outside the best `open` of `groups` groups out of the choice. `totals`: scratch [groups]. */
function closeGroups(choice: usize, experts: i32, groups: i32, open: i32, totals: usize): void {
  const width = experts / groups;
  for (let group = 0; group < groups; group++) {
    let first: f32 = -Infinity;
    let second: f32 = -Infinity;
    for (let i = group * width; i < (group + 1) * width; i++) {
      const value = load<f32>(choice + (<usize>i << 2));
      if (value > first) {
        second = first;
        first = value;
      } else if (value > second) second = value;
    }
    store<f32>(totals + (<usize>group << 2), width > 1 ? first + second : first);
  }
  for (let i = 0; i < open; i++) {
    // Marked, so that what is left over are the groups to close.
    store<f32>(totals + (<usize>take(totals, groups) << 2), NaN);
  }
  for (let group = 0; group < groups; group++) {
    if (isNaN(load<f32>(totals + (<usize>group << 2)))) continue;
    for (let i = group * width; i < (group + 1) * width; i++) store<f32>(choice + (<usize>i << 2), -Infinity);
  }
}

/**
 * args: [logits, bias? [experts], weights?, indices? i32 [rows, k], scratch, scratchStride, rows, experts, k, sigmoid (0 or 1),
 * normalize (0 or 1), eps f32, scale f32, groups, topGroups]; scratch: (2 * experts + groups + k) words a thread.
 */
export function top_k(args: usize, thread: i32, threads: i32): void {
  const logits = pointer(args, 0);
  const bias = pointer(args, 1);
  const weights = pointer(args, 2);
  const indices = pointer(args, 3);
  const rows = integer(args, 6);
  const experts = integer(args, 7);
  const k = integer(args, 8);
  const isSigmoid = integer(args, 9) != 0;
  const normalize = integer(args, 10) != 0;
  const eps = scalar(args, 11);
  const scale = scalar(args, 12);
  const groups = integer(args, 13);
  const topGroups = integer(args, 14);
  const bytes = <usize>experts << 2;
  const scores = pointer(args, 4) + <usize>thread * <usize>integer(args, 5);
  const choice = scores + bytes;
  const totals = choice + bytes;
  const chosen = totals + (<usize>groups << 2);
  const end = shareStart(rows, thread + 1, threads);
  for (let row = shareStart(rows, thread, threads); row < end; row++) {
    scoreRow(logits + <usize>row * bytes, scores, experts, isSigmoid);
    for (let at: usize = 0; at < bytes; at += 4) {
      store<f32>(choice + at, load<f32>(scores + at) + (bias ? load<f32>(bias + at) : 0));
    }
    if (topGroups < groups) closeGroups(choice, experts, groups, topGroups, totals);
    let sum: f32 = 0;
    for (let j = 0; j < k; j++) {
      const expert = take(choice, experts);
      store<i32>(chosen + (<usize>j << 2), expert);
      sum += load<f32>(scores + (<usize>expert << 2));
    }
    const factor: f32 = normalize ? scale / (sum + eps) : scale;
    const to = <usize>row * <usize>k << 2;
    for (let j = 0; j < k; j++) {
      const at = <usize>j << 2;
      const expert = load<i32>(chosen + at);
      if (weights) store<f32>(weights + to + at, factor * load<f32>(scores + (<usize>expert << 2)));
      if (indices) store<i32>(indices + to + at, expert);
    }
  }
}

/**
 * args: [logits, indices i32 [rows, k], dweights [rows, k], dlogits, scratch, scratchStride, rows, experts, k, sigmoid,
 * normalize, eps f32, scale f32]; scratch: experts words a thread. The equations stand in src/ops/top-k-gradient/op.ts.
 */
export function top_k_gradient(args: usize, thread: i32, threads: i32): void {
  const logits = pointer(args, 0);
  const indices = pointer(args, 1);
  const dweights = pointer(args, 2);
  const dlogits = pointer(args, 3);
  const rows = integer(args, 6);
  const experts = integer(args, 7);
  const k = integer(args, 8);
  const isSigmoid = integer(args, 9) != 0;
  const normalize = integer(args, 10) != 0;
  const eps = scalar(args, 11);
  const scale = scalar(args, 12);
  const bytes = <usize>experts << 2;
  const scores = pointer(args, 4) + <usize>thread * <usize>integer(args, 5);
  const end = shareStart(rows, thread + 1, threads);
  for (let row = shareStart(rows, thread, threads); row < end; row++) {
    scoreRow(logits + <usize>row * bytes, scores, experts, isSigmoid);
    const chosen = indices + (<usize>row * <usize>k << 2);
    const dw = dweights + (<usize>row * <usize>k << 2);
    const dx = dlogits + <usize>row * bytes;
    let sum: f32 = 0;
    let weighted: f32 = 0;
    for (let at: usize = 0; at < <usize>k << 2; at += 4) {
      const score = load<f32>(scores + (<usize>load<i32>(chosen + at) << 2));
      sum += score;
      weighted += score * load<f32>(dw + at);
    }
    const share: f32 = normalize ? 1 / (sum + eps) : 1;
    const mean: f32 = normalize ? weighted * share : 0;
    let total: f32 = 0;
    for (let at: usize = 0; at < <usize>k << 2; at += 4) {
      const score = load<f32>(scores + (<usize>load<i32>(chosen + at) << 2));
      total += scale * score * share * (load<f32>(dw + at) - mean);
    }
    for (let at: usize = 0; at < bytes; at += 4) {
      store<f32>(dx + at, isSigmoid ? 0 : -load<f32>(scores + at) * total);
    }
    for (let at: usize = 0; at < <usize>k << 2; at += 4) {
      const place = <usize>load<i32>(chosen + at) << 2;
      const score = load<f32>(scores + place);
      const own = scale * score * share * (load<f32>(dw + at) - mean);
      store<f32>(dx + place, isSigmoid ? own * (1 - score) : own - score * total);
    }
  }
}
