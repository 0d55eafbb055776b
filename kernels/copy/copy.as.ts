// copy: words of 32 bits from one place to another. args: [source, target, words]. Threads take contiguous shares.
import { integer, pointer, shareStart } from "../common/args.as";

export function copy(args: usize, thread: i32, threads: i32): void {
  const words = integer(args, 2);
  const start = shareStart(words, thread, threads);
  const end = shareStart(words, thread + 1, threads);
  memory.copy(pointer(args, 1) + (start << 2), pointer(args, 0) + (start << 2), (end - start) << 2);
}
