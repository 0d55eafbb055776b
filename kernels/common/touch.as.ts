// Bringing memory into the cache at full speed. Multiply-adds fill the processor's window of instructions, so that a product
// which meets memory for the first time can't look far ahead, and the prefetcher stops at pages: it would wait line by
// line. A loop of nothing but loads keeps many lines on their way.

/** Keeps the loads from being removed. */
let touched: i32 = 0;

/** Loads every cache line of `bytes` bytes (the last may be left out). */
export function touch(from: usize, bytes: usize): void {
  const end = from + bytes;
  let a: i32 = 0;
  let b: i32 = 0;
  for (; from + 128 <= end; from += 128) {
    a |= load<i32>(from);
    b |= load<i32>(from, 64);
  }
  touched = a | b;
}

/** The same for `rows` rows of `bytes` bytes, `stride` bytes apart. */
export function touchRows(from: usize, stride: usize, rows: i32, bytes: usize): void {
  if (bytes == stride) {
    touch(from, <usize>rows * bytes);
    return;
  }
  for (let row = 0; row < rows; row++) {
    touch(from, bytes);
    from += stride;
  }
}
