// Launch of map: the expression becomes vector instructions (bytecode.ts), its operands become slots, each with the
// cheapest way to walk it (kernels/map), and the output is cut into blocks.
import { sizeOf } from "../../graph/shape.ts";
import { float, type WasmLowering, type WasmTensor, type Word } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import { compileExpression, type Operand, opcodes } from "./bytecode.ts";
import { collapse } from "./collapse.ts";
import type { MapAttributes } from "./op.ts";

/** Rows at least this long are cut into blocks of their own; of shorter ones several share a block. */
const LONG_ROW = 128;
/** Bytes of a block of every register and stream together: half of a 32 KiB L1. */
const BLOCK_BYTES = 16 * 1024;
/** Elements per block: enough to hide the dispatch of an instruction (about 10 ns), and no more than useful. */
const SMALLEST_BLOCK = 256;
const LARGEST_BLOCK = 4096;
/** Between register blocks, so that they do not fall into the same cache sets. */
const SKEW = 320;
/** Bytes of a slot's entry in the kernel's table. */
const ENTRY = 8;

/** Kinds of slot, as in the kernel. */
const kinds = {
  register: 0,
  constant: 1,
  scalar: 2,
  stream: 3,
  row: 4,
  rowScalar: 5,
  expanded: 6,
  repeated: 7,
} as const;
type SlotKind = keyof typeof kinds;

const roundUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;

export const lower: WasmLowering<MapAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const output = required(outputs[0], "map output");
  const operands = inputs.map((tensor) => required(tensor, "map input"));
  const { sizes, strides } = collapse(
    output.shape,
    operands.map((operand) => operand.shape),
  );
  const total = sizeOf(output.shape);
  const [inner = 1, ...outer] = sizes;
  const program = compileExpression(attributes.expression);

  const isStream = operands.map(({ shape }) => sizeOf(shape) === total);
  const isScalar = operands.map(({ shape }) => sizeOf(shape) === 1);
  const long = inner >= LONG_ROW || outer.length === 0;
  /** Elements after which operand i repeats itself, if they fit in a block. */
  const periods = operands.map((_, i) => {
    const depth = 1 + (strides[i] ?? []).findLastIndex((stride) => stride !== 0);
    return sizeOf(sizes.slice(0, depth));
  });
  const kindOf = (i: number): SlotKind => {
    if (isScalar[i]) return "scalar";
    if (isStream[i]) return "stream";
    if (long) return strides[i]?.[0] === 0 ? "rowScalar" : "row";
    return (periods[i] ?? 1) <= LARGEST_BLOCK / 4 ? "repeated" : "expanded";
  };

  const slots: { readonly kind: SlotKind; readonly payload: Word; readonly strides: readonly number[] }[] = [];
  const slotOf = new Map<string, number>();
  const slot = (operand: Operand): number => {
    const key =
      operand.kind === "output"
        ? "y"
        : operand.kind === "constant"
          ? `#${operand.value}`
          : `${operand.kind}${operand.index}`;
    const known = slotOf.get(key);
    if (known !== undefined) return known;
    slotOf.set(key, slots.length);
    const flat: number[] = sizes.map(() => 0);
    if (operand.kind === "output") return slots.push({ kind: "stream", payload: output, strides: flat }) - 1;
    if (operand.kind === "constant")
      return slots.push({ kind: "constant", payload: float(operand.value), strides: flat }) - 1;
    if (operand.kind === "register") return slots.push({ kind: "register", payload: 0, strides: flat }) - 1;
    const tensor: WasmTensor = required(operands[operand.index], `map input ${operand.index}`);
    return slots.push({ kind: kindOf(operand.index), payload: tensor, strides: strides[operand.index] ?? flat }) - 1;
  };
  slot({ kind: "output" });
  const code = program.instructions.flatMap(({ opcode, target, operands: args }) => {
    const [a = 0, b = 0, c = 0] = args.map(slot);
    return [opcodes[opcode], ...[slot(target), a, b, c].map((s) => s * ENTRY)];
  });

  const holdsBlock = (kind: SlotKind): boolean => kind === "register" || kind === "expanded" || kind === "repeated";
  const repeat = Math.max(1, ...slots.flatMap((s, i) => (s.kind === "repeated" ? [periodOfSlot(i)] : [])));
  function periodOfSlot(index: number): number {
    for (const [i] of operands.entries()) if (slotOf.get(`input${i}`) === index) return periods[i] ?? 1;
    return 1;
  }
  const { block, perRow } = cut({
    length: long ? inner : total,
    share: Math.ceil(total / emit.threads),
    blocks: slots.filter((s) => holdsBlock(s.kind)).length,
    streams: slots.filter((s) => s.kind === "stream" || s.kind === "row").length,
    multiple: repeat === 1 ? 16 : repeat * (repeat % 4 === 0 ? 1 : repeat % 2 === 0 ? 2 : 4),
  });
  const rows = long ? total / inner : 1;

  let bytes = roundUp(slots.length * ENTRY, 64);
  const slotWords = slots.flatMap(({ kind, payload, strides: [step = 0, ...rest] }): Word[] => {
    const buffer = bytes;
    bytes += holdsBlock(kind) ? roundUp(block * 4, 64) + SKEW : 64;
    return [kinds[kind], payload, buffer, ...rest, step];
  });
  const workspace = emit.scratch(bytes * emit.threads);
  const length = long ? inner : total;
  const header = [
    bytes,
    inner,
    block,
    rows * perRow,
    perRow,
    length,
    outer.length,
    slots.length,
    program.instructions.length,
  ];
  emit.command("map", [workspace, ...header, Math.min(block, total), ...outer, ...slotWords, ...code]);
};

/** Elements per block and blocks per row of `length`: blocks even, a multiple of `multiple`, small enough for all threads. */
function cut(wanted: { length: number; share: number; blocks: number; streams: number; multiple: number }): {
  block: number;
  perRow: number;
} {
  const { length, share, blocks, streams, multiple } = wanted;
  const fitting = blocks === 0 ? LARGEST_BLOCK : Math.max(SMALLEST_BLOCK, BLOCK_BYTES / 4 / (blocks + streams));
  const limit = Math.max(1, Math.min(fitting, LARGEST_BLOCK, share));
  const perRow = Math.max(1, Math.ceil(length / limit));
  const block = roundUp(Math.ceil(length / perRow), multiple);
  return { block, perRow: Math.ceil(length / block) };
}
