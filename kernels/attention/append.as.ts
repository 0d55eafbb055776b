// attention_append: new keys or values go into a ring cache, after attention has read it; slot of position j is j % Cap.
import { integer, pointer } from "../common/args.as";

/**
 * Writes the last min(T, Cap) new rows into a ring cache. args: 0 rows [B,T,W], 1 past [B,Cap,W], 2 present [B,Cap,W],
 * 3 position, 4 B, 5 T, 6 Cap, 7 W (words of a row). present may be past itself. Threads take slots, or new rows when in place.
 */
export function attention_append(args: usize, thread: i32, threads: i32): void {
  const rows = pointer(args, 0);
  const past = pointer(args, 1);
  const present = pointer(args, 2);
  const position = pointer(args, 3);
  const B = integer(args, 4);
  const T = integer(args, 5);
  const capacity = integer(args, 6);
  const bytes = <usize>integer(args, 7) << 2;
  const written = min(T, capacity);
  if (present != past) {
    for (let index = thread; index < B * capacity; index += threads) {
      const b = index / capacity;
      const slot = index % capacity;
      const next = load<i32>(position + (b << 2)) + T;
      // The newest token whose place is this slot is `age` tokens before the end.
      const age = (next - 1 - slot) % capacity;
      const age2 = age < 0 ? age + capacity : age;
      const source = age2 < written ? rows + <usize>(b * T + T - 1 - age2) * bytes : past + <usize>index * bytes;
      memory.copy(present + <usize>index * bytes, source, bytes);
    }
    return;
  }
  for (let index = thread; index < B * written; index += threads) {
    const b = index / written;
    const t = T - written + index % written;
    const slot = (load<i32>(position + (b << 2)) + t) % capacity;
    memory.copy(present + <usize>(b * capacity + slot) * bytes, rows + <usize>(b * T + t) * bytes, bytes);
  }
}
