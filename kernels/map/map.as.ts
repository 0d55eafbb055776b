// map: a vector bytecode interpreter for elementwise expressions. The output is cut into blocks of at most a few thousand
// elements; every instruction runs over a whole block whose intermediate registers stay in L1, so that the cost of
// dispatching it is spread over hundreds of elements. Threads share the blocks. src/ops/map/wasm.ts is the compiler.
import { integer, pointer, scalar, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { execute } from "../common/bytecode.as";

// Words of the arguments before the outer dimensions, the slots and the instructions.
const HEADER: i32 = 11;

// Slots: kinds of operand. A slot is [kind, payload, buffer offset, stride of each outer dimension …, inner stride].
const REGISTER: i32 = 0;
const CONSTANT: i32 = 1;
/** One element, the same everywhere. */
const SCALAR: i32 = 2;
/** The same shape as the output (and the output itself). */
const STREAM: i32 = 3;
/** A row of elements at an offset that depends on the outer index. */
const ROW: i32 = 4;
/** One element per row. */
const ROW_SCALAR: i32 = 5;
/** Anything, copied out to a block before use (short rows, several to a block). */
const EXPANDED: i32 = 6;
/** As EXPANDED, the same in every block. */
const REPEATED: i32 = 7;

/** A slot's entry of the per-thread table: where it is now, and a mask for the offset in it: 0 if it holds one vector. */
const ENTRY: usize = 8;

/** Offset, in elements, of outer index `index` with these sizes and strides (innermost first). */
function outerOffset(index: i32, rank: i32, sizes: usize, strides: usize): i32 {
  let offset = 0;
  for (let i = 0; i + 1 < rank; i++) {
    const size = load<i32>(sizes + (<usize>i << 2));
    const next = index / size;
    offset += (index - next * size) * load<i32>(strides + (<usize>i << 2));
    index = next;
  }
  return rank ? offset + index * load<i32>(strides + (<usize>(rank - 1) << 2)) : offset;
}

/** Copies elements [start, start + count) of a broadcast operand, in the output's order, to `buffer`. */
function expand(
  address: usize, buffer: usize, start: i32, count: i32, inner: i32, step: i32, rank: i32, sizes: usize, strides: usize,
): void {
  let row = start / inner;
  let column = start - row * inner;
  let to = buffer;
  if (!step && rank == 1 && column == 0) {
    // One value per row: the shape of gates and decays by head.
    let from = address + (<usize>row * load<u32>(strides) << 2);
    for (; count >= inner; count -= inner, row++, from += <usize>load<u32>(strides) << 2) {
      const values = v128.load32_splat(from);
      const end = to + (<usize>inner << 2);
      for (; to + 64 <= end; to += 64) {
        v128.store(to, values);
        v128.store(to, values, 16);
        v128.store(to, values, 32);
        v128.store(to, values, 48);
      }
      for (; to + 16 <= end; to += 16) v128.store(to, values);
      for (; to < end; to += 4) v128.store32_lane(to, values, 0);
    }
  }
  while (count > 0) {
    const run = min(inner - column, count);
    const from = address + (<usize>(outerOffset(row, rank, sizes, strides) + column * step) << 2);
    const end = to + (<usize>run << 2);
    if (step) {
      let at = from;
      for (; to + 16 <= end; to += 16, at += 16) v128.store(to, v128.load(at));
      for (; to < end; to += 4, at += 4) store<f32>(to, load<f32>(at));
    } else {
      const value = load<f32>(from);
      const values = f32x4.splat(value);
      for (; to + 16 <= end; to += 16) v128.store(to, values);
      for (; to < end; to += 4) store<f32>(to, value);
    }
    column = 0;
    row++;
    count -= run;
  }
}

/**
 * args: [workspace, workspace bytes per thread, inner, block, blocks, blocks per row, elements per row, rank, slots,
 * instructions, repeated rows' block, sizes of the `rank` outer dimensions (innermost first), slots, instructions].
 * Slot 0 is the output. Where rows are long a block is part of a row ("elements per row" = inner); where they are short
 * the whole output is one row of blocks. An instruction is [opcode, target, a, b, c], the last four offsets in the table.
 */
export function map(args: usize, thread: i32, threads: i32): void {
  const table = pointer(args, 0) + <usize>thread * integer(args, 1);
  const inner = integer(args, 2);
  const block = integer(args, 3);
  const blocks = integer(args, 4);
  const perRow = integer(args, 5);
  const length = integer(args, 6);
  const rank = integer(args, 7);
  const slots = integer(args, 8);
  const instructions = integer(args, 9);
  const sizes = args + (HEADER << 2);
  const first = sizes + (<usize>rank << 2);
  const slotBytes = <usize>(rank + 4) << 2;
  const program = first + <usize>slots * slotBytes;
  const begin = shareStart(blocks, thread, threads);
  const end = shareStart(blocks, thread + 1, threads);
  if (begin >= end) return;

  let slot = first;
  let entry = table;
  for (let i = 0; i < slots; i++, slot += slotBytes, entry += ENTRY) {
    const kind = load<i32>(slot);
    const buffer = table + load<u32>(slot, 8);
    store<u32>(entry, <u32>buffer);
    store<i32>(entry, kind == CONSTANT || kind == SCALAR || kind == ROW_SCALAR ? 0 : -1, 4);
    if (kind == CONSTANT) v128.store(buffer, f32x4.splat(load<f32>(slot, 4)));
    else if (kind == SCALAR) v128.store(buffer, f32x4.splat(load<f32>(<usize>load<u32>(slot, 4))));
    else if (kind == REPEATED) {
      expand(<usize>load<u32>(slot, 4), buffer, 0, integer(args, 10), inner, load<i32>(slot + slotBytes - 4), rank, sizes, slot + 12);
    }
  }

  for (let unit = begin; unit < end; unit++) {
    const row = unit / perRow;
    const column = (unit - row * perRow) * block;
    const flat = <usize>row * length + column;
    const count = min(block, length - column);
    const whole = count & ~3;
    slot = first;
    entry = table;
    for (let i = 0; i < slots; i++, slot += slotBytes, entry += ENTRY) {
      const kind = load<i32>(slot);
      if (kind == STREAM) {
        store<u32>(entry, <u32>(<usize>load<u32>(slot, 4) + (flat << 2)));
      } else if (kind == ROW) {
        store<u32>(entry, <u32>(<usize>load<u32>(slot, 4) + ((<usize>outerOffset(row, rank, sizes, slot + 12) + column) << 2)));
      } else if (kind == ROW_SCALAR) {
        const value = load<f32>(<usize>load<u32>(slot, 4) + (<usize>outerOffset(row, rank, sizes, slot + 12) << 2));
        v128.store(table + load<u32>(slot, 8), f32x4.splat(value));
      } else if (kind == EXPANDED) {
        const buffer = table + load<u32>(slot, 8);
        store<u32>(entry, <u32>buffer);
        expand(<usize>load<u32>(slot, 4), buffer, column, count, inner, load<i32>(slot + slotBytes - 4), rank, sizes, slot + 12);
      } else if (kind == REPEATED) {
        store<u32>(entry, <u32>(table + load<u32>(slot, 8)));
      }
    }
    if (whole) execute(program, instructions, table, <usize>whole << 2);
    const rest = count - whole;
    if (rest) {
      // The last elements run as one vector each, padded in the slots' own buffers.
      const skipped = <usize>whole << 2;
      slot = first;
      entry = table;
      const target = <usize>load<u32>(table) + skipped;
      for (let i = 0; i < slots; i++, slot += slotBytes, entry += ENTRY) {
        const kind = load<i32>(slot);
        if (kind == STREAM || kind == ROW) {
          const buffer = table + load<u32>(slot, 8);
          if (i) v128.store(buffer, loadLanes(<usize>load<u32>(entry) + skipped, rest));
          store<u32>(entry, <u32>buffer);
        } else if (kind == EXPANDED || kind == REPEATED) {
          store<u32>(entry, load<u32>(entry) + <u32>skipped);
        }
      }
      execute(program, instructions, table, 16);
      storeLanes(target, v128.load(load<u32>(table)), rest);
    }
  }
}
