// What the kernels of attention share: where the keys of a call lie, which of them a row sees, and how scores are finished.
// Keys have absolute positions: those before the call are in slots `position % capacity` of the caches, the others in k and v.
// SLICED: the caches are bound in slices, of one batch row and slots first_slot … end_slot - 1, and the keys are those of one slice:
// even parts take slots that the current round through the ring has filled, odd parts those left from the round before.
// Scores and maxima are in units of log2.
#include "attention/scores.wgsl"
#include "attention/sums.wgsl"

/// What a workgroup does: a tile of rows of one key head and batch row, over one part of the keys. Key heads vary fastest.
struct Work {
  split: u32,
  head: u32,
  b: u32,
  tile: u32,
}

fn work_of(item: u32) -> Work {
#if PARTIAL
  let split = item % uniforms.splits;
  let place = item / uniforms.splits;
#else
  let split = 0u;
  let place = item;
#endif
  let tile = place / (KEY_HEADS * uniforms.batches);
  return Work(split, place % KEY_HEADS, uniforms.first_batch + place / KEY_HEADS % uniforms.batches, tile);
}

#if HAS_POSITION
var<workgroup> shared_position: i32;
#endif

/// Tokens before the call, in uniform control flow.
fn tokens_before(b: u32, local: u32) -> i32 {
#if HAS_POSITION
  if (local == 0u) {
    shared_position = position_load(b);
  }
  return workgroupUniformLoad(&shared_position);
#else
  return 0;
#endif
}

/// The first key and one past the last that rows at positions `first` … `last` may see; with PARTIAL the part `split` of them.
fn seen_keys(first: i32, last: i32, before: i32, split: u32) -> vec2i {
  var low = before - min(before, i32(uniforms.capacity));
  var high = before + i32(uniforms.key_tokens);
#if CAUSAL
  high = min(high, last + 1);
#endif
#if WINDOW > 0
  low = max(low, first - i32(WINDOW) + 1);
#endif
#if SLICED
  let slots = i32(uniforms.capacity);
  let reached = before % slots;
  let begin = i32(uniforms.first_slot);
  let end = i32(uniforms.end_slot);
  if (split % 2u == 0u) {
    low = max(low, before - reached + begin);
    high = min(high, before - reached + min(end, reached));
  } else {
    low = max(low, before - reached - slots + max(begin, reached));
    high = min(high, before - reached - slots + end);
  }
  let part = i32(split / 2u);
  let parts = i32(uniforms.splits / 2u);
#elif PARTIAL
  let part = i32(split);
  let parts = i32(uniforms.splits);
#endif
#if PARTIAL
  let each = (max(high - low, 0) + parts - 1) / parts;
  let share = (each + i32(KEYS) - 1) / i32(KEYS) * i32(KEYS);
  low += part * share;
  high = min(high, low + share);
#endif
  return vec2i(low, high);
}

/// Row of k and v of key j (or of the caches, where j < before).
fn key_row(b: u32, j: i32, before: i32) -> u32 {
#if HAS_PAST_K
  if (j < before) {
#if SLICED
    return u32(j) % uniforms.capacity - uniforms.first_slot;
#else
    return b * uniforms.capacity + u32(j) % uniforms.capacity;
#endif
  }
#endif
  return b * uniforms.key_tokens + u32(j - before);
}

fn key_at(b: u32, j: i32, before: i32, head: u32, c: u32) -> vec4f {
  let row = key_row(b, j, before) * KEY_HEADS + head;
#if HAS_PAST_K
  if (j < before) {
    return past_k_at(row, c);
  }
#endif
  return k_at(row, c);
}

fn value_at(b: u32, j: i32, before: i32, head: u32, c: u32) -> vec4f {
  let row = key_row(b, j, before) * KEY_HEADS + head;
#if HAS_PAST_V
  if (j < before) {
    return past_v_at(row, c);
  }
#endif
  return v_at(row, c);
}
