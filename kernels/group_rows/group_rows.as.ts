// group_rows: numbers of rows sorted by the expert that each has chosen, a counting sort. One thread does it all: there are as
// many steps as rows, where the products that follow take as many as weights for each.
import { integer, pointer } from "../common/args.as";

/** args: [indices i32 [rows], order i32 [rows], starts i32 [experts + 1], counts? f32 [experts], rows, experts]. */
export function group_rows(args: usize, thread: i32, threads: i32): void {
  if (thread != 0) return;
  const indices = pointer(args, 0);
  const order = pointer(args, 1);
  const starts = pointer(args, 2);
  const counts = pointer(args, 3);
  const rows = integer(args, 4);
  const experts = integer(args, 5);
  memory.fill(starts, 0, <usize>(experts + 1) << 2);
  for (let row = 0; row < rows; row++) {
    const count = starts + (<usize>expertAt(indices, row, experts) << 2) + 4;
    store<i32>(count, load<i32>(count) + 1);
  }
  if (counts) {
    for (let at: usize = 0; at < <usize>experts << 2; at += 4) store<f32>(counts + at, <f32>load<i32>(starts + at, 4));
  }
  for (let expert = 0; expert < experts; expert++) {
    const at = starts + (<usize>expert << 2);
    store<i32>(at, load<i32>(at) + load<i32>(at, 4), 4);
  }
  // Every start moves on to the next one while its rows are placed …
  for (let row = 0; row < rows; row++) {
    const at = starts + (<usize>expertAt(indices, row, experts) << 2);
    const place = load<i32>(at);
    store<i32>(order + (<usize>place << 2), row);
    store<i32>(at, place + 1);
  }
  // … so that all of them end up one place too early.
  memory.copy(starts + 4, starts, <usize>experts << 2);
  store<i32>(starts, 0);
}

function expertAt(indices: usize, row: i32, experts: i32): i32 {
  return min(max(load<i32>(indices + (<usize>row << 2)), 0), experts - 1);
}
