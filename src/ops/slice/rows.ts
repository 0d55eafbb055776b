// Dispatch of slice, slice_gradient and concat: rows put together from pieces of other rows (kernels/layout/rows.wgsl).
import {
  type Bound,
  type Dispatch,
  type Emitter,
  type GpuTensor,
  PART_ALIGNMENT,
  part,
  read,
  spread,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";

const WORKGROUP = 64;

/** Elements `offset` … of rows of x, which go to elements `begin` … `end` - 1 of rows of y. */
export interface Piece {
  readonly x: GpuTensor;
  /** Elements of a row of x. */
  readonly stride: number;
  readonly offset: number;
  readonly begin: number;
  readonly end: number;
}

interface Copy {
  readonly y: Bound;
  readonly rows: number;
  /** Elements of a row of y. */
  readonly stride: number;
  readonly pieces: readonly (Omit<Piece, "x"> & { readonly x: Bound })[];
  /** Elements of a row that are written. */
  readonly first: number;
  readonly columns: number;
  readonly integer: boolean;
}

function copy({ y, rows, stride, pieces, first, columns, integer }: Copy, emit: Emitter): void {
  const lengths = pieces.flatMap((p) => [p.stride, p.offset, p.begin, p.end]);
  const vector = unitOf(stride, first, columns, ...lengths);
  const uniforms: Record<string, number> = {
    count: (rows * columns) / vector,
    columns: columns / vector,
    first_y: first / vector,
    stride_y: stride / vector,
  };
  const bindings: Record<string, Dispatch["bindings"][string]> = { y: write(y) };
  for (const [k, piece] of pieces.entries()) {
    uniforms[`stride_${k}`] = piece.stride / vector;
    uniforms[`offset_${k}`] = piece.offset / vector;
    uniforms[`begin_${k}`] = piece.begin / vector;
    uniforms[`end_${k}`] = piece.end / vector;
    bindings[`x${k}`] = read(piece.x);
  }
  const dispatch = inUnits(
    {
      kernel: "layout/rows",
      constants: { COUNT: pieces.length, INTEGER: integer, WORKGROUP },
      uniforms,
      bindings,
      workgroups: spread(Math.ceil((rows * columns) / vector / WORKGROUP)),
      reason: vector === 4 ? "four elements a thread" : "an element a thread",
    },
    vector,
    Object.keys(bindings),
  );
  const readers = pieces.map((_, k) => `fn piece_${k}(i: u32) -> V { return x${k}_unit(i); }`);
  emit.dispatch({ ...dispatch, source: `${readers.join("\n")}\n${dispatch.source}` });
}

/** Storage bindings that a piece takes: quantised tensors have scales. */
const bindingsOf = ({ x }: Piece): number => (x.storage === "int8" || x.storage === "int4" ? 2 : 1);

/** Neighbouring pieces that one dispatch can bind besides y. */
function grouped(pieces: readonly Piece[], most: number): Piece[][] {
  const groups: Piece[][] = [];
  let used = Number.POSITIVE_INFINITY;
  for (const piece of pieces) {
    used += bindingsOf(piece);
    if (used > most) {
      groups.push([]);
      used = bindingsOf(piece);
    }
    groups.at(-1)?.push(piece);
  }
  return groups;
}

/** y [rows, stride] from pieces in the order of their columns; what they leave out becomes zero. */
export function copyRows(y: GpuTensor, rows: number, stride: number, pieces: readonly Piece[], emit: Emitter): void {
  if (rows * stride === 0) return;
  const integer = y.dtype === "i32";
  const groups = grouped(
    pieces.filter(({ begin, end }) => end > begin),
    emit.device.maxStorageBindings - 1,
  );
  const longest = Math.max(stride, ...pieces.map((piece) => piece.stride));
  const mostElements = Math.floor(emit.device.maxBinding / 4);
  for (const [g, group] of groups.entries()) {
    const first = g === 0 ? 0 : (group[0]?.begin ?? 0);
    const end = groups[g + 1]?.[0]?.begin ?? stride;
    const whole = { first, columns: end - first, integer };
    if (rows * longest <= mostElements) {
      copy({ y, rows, stride, pieces: group, ...whole }, emit);
      continue;
    }
    // Rows that start where parts may start, in y and in every x.
    let step = 1;
    while ([stride, ...group.map((p) => p.stride)].some((length) => (step * length) % PART_ALIGNMENT !== 0)) step *= 2;
    const run = step * Math.floor(mostElements / longest / step);
    if (run > 0) {
      for (let row = 0; row < rows; row += run) {
        const count = Math.min(run, rows - row);
        const cut = (tensor: GpuTensor, length: number) => part(tensor, row * length, count * length);
        const pieces = group.map((piece) => ({ ...piece, x: cut(piece.x, piece.stride) }));
        copy({ y: cut(y, stride), rows: count, stride, pieces, ...whole }, emit);
      }
    } else
      for (let row = 0; row < rows; row++) copyRange(y, row * stride + first, row * stride + end, row, group, stride);
  }

  /** Elements `from` … `to` - 1 of y, which lie in one row, in pieces that can be bound. */
  function copyRange(
    target: GpuTensor,
    from: number,
    to: number,
    row: number,
    group: readonly Piece[],
    rowLength: number,
  ): void {
    const edges = [from, ...group.flatMap(({ begin, end }) => [row * rowLength + begin, row * rowLength + end]), to];
    const most = mostElements - 2 * PART_ALIGNMENT;
    for (const [i, start] of edges.entries()) {
      const stop = edges[i + 1] ?? start;
      const piece = group.find(({ begin }) => row * rowLength + begin === start);
      for (let at = start; at < stop; at += most) {
        const length = Math.min(most, stop - at);
        const firstOfY = at - (at % PART_ALIGNMENT);
        const begin = at - firstOfY;
        const pieces: Copy["pieces"][number][] = [];
        if (piece !== undefined && stop <= row * rowLength + piece.end) {
          const inX = row * piece.stride + piece.offset + (at - start);
          const offset = inX % PART_ALIGNMENT;
          const x = part(piece.x, inX - offset, offset + length);
          pieces.push({ x, stride: 0, offset, begin, end: begin + length });
        }
        const y = part(target, firstOfY, begin + length);
        copy({ y, rows: 1, stride: 0, pieces, first: begin, columns: length, integer }, emit);
      }
    }
  }
}
