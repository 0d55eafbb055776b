// Loading and storing fewer than four lanes, for the last elements of a row.

/** `count` (1..4) floats from `address`; the other lanes are 0. Touches nothing beyond them. */
// @ts-ignore: decorator
@inline
export function loadLanes(address: usize, count: i32): v128 {
  if (count >= 4) return v128.load(address);
  let x = v128.load32_zero(address);
  if (count > 1) x = v128.load_lane<u32>(address, x, 1, 4);
  if (count > 2) x = v128.load_lane<u32>(address, x, 2, 8);
  return x;
}

/** The first `count` (1..4) lanes to `address`. */
// @ts-ignore: decorator
@inline
export function storeLanes(address: usize, x: v128, count: i32): void {
  if (count >= 4) {
    v128.store(address, x);
    return;
  }
  v128.store_lane<u32>(address, x, 0);
  if (count > 1) v128.store_lane<u32>(address, x, 1, 4);
  if (count > 2) v128.store_lane<u32>(address, x, 2, 8);
}
