// selective_scan_gradient_sum: adds what the threads of selective_scan_gradient left, in a fixed order. Threads share the
// channels for dA, dD and ddelta_bias, the tokens for dB and dC.
import { integer, pointer, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { BLOCK } from "../common/scan_tile.as";

/**
 * Adds the partial results. args: [dA [B, D, N'], dD [B, D], ddelta_bias [B, D], dB [.., B, T, N'], dC, words between
 * threads, to dA [D, N], to dD [D], to ddelta_bias [D], to dB [B, T, N], to dC, batch, tokens, channels, states]. A result
 * of address 0, or one that is its partial itself, is left.
 */
export function selective_scan_gradient_sum(args: usize, thread: i32, threads: i32): void {
  const batch = integer(args, 11);
  const tokens = integer(args, 12);
  const channels = integer(args, 13);
  const states = integer(args, 14);
  const padded = (states + 3) & ~3;
  const start = shareStart(channels, thread, threads);
  const end = shareStart(channels, thread + 1, threads);
  for (let d = start; d < end; d++) {
    sumRows(pointer(args, 0) + ((d * padded) << 2), channels * padded, batch, pointer(args, 6), d * states, states);
  }
  sumRows(pointer(args, 1) + (start << 2), channels, batch, pointer(args, 7), start, end - start);
  sumRows(pointer(args, 2) + (start << 2), channels, batch, pointer(args, 8), start, end - start);

  const apart = integer(args, 5);
  const blocks = (channels + BLOCK - 1) / BLOCK;
  const lastRow = shareStart(batch * tokens, thread + 1, threads);
  for (let row = shareStart(batch * tokens, thread, threads); row < lastRow; row++) {
    // The threads whose share meets this batch row.
    const b = row / tokens;
    let more = false;
    for (let one = 0; one < threads; one++) {
      const from = max(shareStart(batch * blocks, one, threads), b * blocks);
      if (from >= min(shareStart(batch * blocks, one + 1, threads), (b + 1) * blocks)) continue;
      const source = (apart * one + row * padded) << 2;
      addRow(pointer(args, 3) + source, pointer(args, 9), row * states, states, more);
      addRow(pointer(args, 4) + source, pointer(args, 10), row * states, states, more);
      more = true;
    }
  }
}

/** target[at ..] = Σ over `count` rows that start `apart` words from each other. */
function sumRows(source: usize, apart: i32, count: i32, target: usize, at: i32, width: i32): void {
  for (let k = 0; k < count; k++) addRow(source + ((k * apart) << 2), target, at, width, k != 0);
}

/** target[at ..] = source, or += where `more`; nothing where there is no target, or source and target are one. */
function addRow(source: usize, base: usize, at: i32, width: i32, more: bool): void {
  const target = base + (at << 2);
  if (!base || target == source) return;
  for (let i = 0; i < width; i += 4) {
    const o = i << 2;
    const lanes = min(4, width - i);
    const x = loadLanes(source + o, lanes);
    storeLanes(target + o, more ? f32x4.add(loadLanes(target + o, lanes), x) : x, lanes);
  }
}
