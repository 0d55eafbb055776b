// Parts that selective_scan and its gradient share: tiles of TILE tokens by BLOCK channels, and rows of states padded
// to whole vectors.
import { boundBits } from "./decay.as";
import { loadLanes, storeLanes } from "./lanes.as";
import { softplus } from "./math.as";

/** Tokens of a tile; states at every such boundary are what the forward pass keeps for the backward pass. */
export const TILE: i32 = 64;
/** Channels of a tile: one cache line of every token. */
export const BLOCK: i32 = 16;

/** `rows` rows of `states` floats with zeros up to `padded`: `source` itself where nothing is missing, else in `spare`. */
// @ts-ignore: decorator
@inline
export function padRows(source: usize, spare: usize, rows: i32, states: i32, padded: i32): usize {
  if (states == padded) return source;
  for (let row = 0; row < rows; row++) {
    const from = source + ((row * states) << 2);
    const to = spare + ((row * padded) << 2);
    for (let n = 0; n < states; n += 4) {
      storeLanes(to + (n << 2), loadLanes(from + (n << 2), min(4, states - n)), 4);
    }
  }
  return spare;
}

/** Inverse of padRows: moves rows in `spare` to `target`, nothing where they were there already. */
// @ts-ignore: decorator
@inline
export function unpadRows(spare: usize, target: usize, rows: i32, states: i32, padded: i32): void {
  if (states == padded) return;
  for (let row = 0; row < rows; row++) {
    memory.copy(target + ((row * states) << 2), spare + ((row * padded) << 2), states << 2);
  }
}

/** Δ of four channels from what the network gave: delta + bias, through softplus if asked. */
// @ts-ignore: decorator
@inline
export function timeStep(delta: v128, bias: v128, viaSoftplus: bool): v128 {
  const x = f32x4.add(delta, bias);
  return viaSoftplus ? softplus(x) : x;
}

/** The largest -A of a channel's states, as bits for `decayKind`. */
export function rateBound(a: usize, padded: i32): u32 {
  let bound = i32x4.splat(0);
  for (let n = 0; n < padded; n += 4) bound = boundBits(bound, f32x4.sub(f32x4.splat(0), v128.load(a + (n << 2))));
  const two = i32x4.max_u(bound, i32x4.shuffle(bound, bound, 2, 3, 0, 1));
  return <u32>i32x4.extract_lane(i32x4.max_u(two, i32x4.shuffle(two, two, 1, 0, 3, 2)), 0);
}

/** Lane c of the result is the sum of the four lanes of vector c. */
// @ts-ignore: decorator
@inline
export function sumEach(p0: v128, p1: v128, p2: v128, p3: v128): v128 {
  const a = f32x4.add(i32x4.shuffle(p0, p1, 0, 4, 1, 5), i32x4.shuffle(p0, p1, 2, 6, 3, 7));
  const b = f32x4.add(i32x4.shuffle(p2, p3, 0, 4, 1, 5), i32x4.shuffle(p2, p3, 2, 6, 3, 7));
  // a = (p0₀+p0₂, p1₀+p1₂, p0₁+p0₃, p1₁+p1₃), b the same of p2 and p3.
  return f32x4.add(i64x2.shuffle(a, b, 0, 2), i64x2.shuffle(a, b, 1, 3));
}
