// Reading a kernel's arguments: every kernel is called as f(args, thread, threads), where `args` points at a block of
// 32-bit words written once when the program is planned: addresses (u32 byte offsets), sizes (i32), scalars (f32).

/** Word `index` as an address; 0 means that the optional tensor is absent. */
// @ts-ignore: decorator
@inline
export function pointer(args: usize, index: i32): usize {
  return load<u32>(args + (index << 2));
}

/** Word `index` as an integer. */
// @ts-ignore: decorator
@inline
export function integer(args: usize, index: i32): i32 {
  return load<i32>(args + (index << 2));
}

/** Word `index` as a float. */
// @ts-ignore: decorator
@inline
export function scalar(args: usize, index: i32): f32 {
  return load<f32>(args + (index << 2));
}

/** First item of this thread's contiguous share of `count` items; its end is shareStart(count, thread + 1, threads). */
// @ts-ignore: decorator
@inline
export function shareStart(count: i32, thread: i32, threads: i32): i32 {
  return <i32>((<i64>count * <i64>thread) / <i64>threads);
}

/** `address` + `bytes`, or 0 where an optional tensor is absent. */
// @ts-ignore: decorator
@inline
export function optional(address: usize, bytes: usize): usize {
  return address ? address + bytes : 0;
}
