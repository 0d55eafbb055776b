// New keys and values go into their ring caches: rows [B,T,·] into slots (position + t) % capacity of [B,Cap,·]. Item `n` is
// one element (or vec4, WIDTH 4) of a row of keys followed by a row of values. IN_PLACE: only the new rows are written;
// otherwise items go over all slots, and the others are copied from `past`. SLICED: only slots first_slot … end_slot - 1 of row
// `batch_row` are bound, and written.
fn append(n: u32) {
  let c = n % (KEY_ITEMS + VALUE_ITEMS);
  let row = n / (KEY_ITEMS + VALUE_ITEMS);
  let capacity = uniforms.capacity;
#if SLICED
  let b = uniforms.batch_row;
  let first_slot = uniforms.first_slot;
  let slots = uniforms.end_slot - first_slot;
  if (row >= select(slots, uniforms.appended, IN_PLACE)) {
    return;
  }
#endif
#if SLICED && IN_PLACE
  let t = uniforms.key_tokens - uniforms.appended + row;
  let slot = (u32(position_load(b)) + t) % capacity;
  if (slot < first_slot || slot >= uniforms.end_slot) {
    return;
  }
  let to = slot - first_slot;
  let fresh = true;
#elif IN_PLACE
  let b = row / uniforms.appended;
  let t = uniforms.key_tokens - uniforms.appended + row % uniforms.appended;
  let to = b * capacity + (u32(position_load(b)) + t) % capacity;
  let fresh = true;
#else
#if SLICED
  let slot = first_slot + row;
#else
  let b = row / capacity;
  let slot = row % capacity;
#endif
  let to = row;
  // The newest token whose place this slot is comes `age` tokens before the end.
  let age = (u32(position_load(b)) + uniforms.key_tokens - 1u + capacity - slot) % capacity;
  let fresh = age < uniforms.appended;
  let t = uniforms.key_tokens - 1u - select(0u, age, fresh);
#endif
#if !SLICED
  if (b >= uniforms.cache_batches) {
    return;
  }
#endif
  let source = b * uniforms.key_tokens + t;
  if (c < KEY_ITEMS) {
    let i = to * KEY_ITEMS + c;
#if HAS_PRESENT_K
#if WIDTH == 4
    if (fresh) {
      present_k_store4(i, k_load4(source * KEY_ITEMS + c));
    }
#if !IN_PLACE
    else {
      present_k_store4(i, past_k_load4(i));
    }
#endif
#else
    if (fresh) {
      present_k_store(i, k_load(source * KEY_ITEMS + c));
    }
#if !IN_PLACE
    else {
      present_k_store(i, past_k_load(i));
    }
#endif
#endif
#endif
  } else {
    let i = to * VALUE_ITEMS + c - KEY_ITEMS;
#if HAS_PRESENT_V
#if WIDTH == 4
    if (fresh) {
      present_v_store4(i, v_load4(source * VALUE_ITEMS + c - KEY_ITEMS));
    }
#if !IN_PLACE
    else {
      present_v_store4(i, past_v_load4(i));
    }
#endif
#else
    if (fresh) {
      present_v_store(i, v_load(source * VALUE_ITEMS + c - KEY_ITEMS));
    }
#if !IN_PLACE
    else {
      present_v_store(i, past_v_load(i));
    }
#endif
#endif
#endif
  }
}
