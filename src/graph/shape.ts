// Shapes and element types of tensors. A dimension is a number or a symbol that is bound when a program is planned.

/** Element type. Everything is computed in f32; i32 holds token ids and positions. */
export type DType = "f32" | "i32";

/**
 * One dimension of a shape:
 * - a number;
 * - `B` batch rows, `T` tokens of this call, `C` context capacity (keys that a full-attention cache can hold);
 * - `T/n`: ceil(T / n), the number of chunks of n tokens;
 * - `C<n`: min(C, n), the keys that a windowed cache holds.
 */
export type Dim = number | "B" | "T" | "C" | `T/${number}` | `C<${number}`;

export type Shape = readonly Dim[];

/** Values of the symbols. */
export interface Bindings {
  readonly B: number;
  readonly T: number;
  readonly C: number;
}

export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** A tensor type whose dimensions are all numbers. */
export interface BoundType {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** A mistake in the way a graph is put together: shapes that don't fit, a missing input, an unknown attribute. */
export class GraphError extends Error {
  override name = "GraphError";
}

export function bindDim(dim: Dim, bindings: Bindings): number {
  if (typeof dim === "number") return dim;
  if (dim === "B" || dim === "T" || dim === "C") return bindings[dim];
  const n = Number(dim.slice(2));
  return dim.startsWith("T/") ? Math.ceil(bindings.T / n) : Math.min(bindings.C, n);
}

export function bindShape(shape: Shape, bindings: Bindings): number[] {
  return shape.map((dim) => bindDim(dim, bindings));
}

export function bindType(type: TensorType, bindings: Bindings): BoundType {
  return { shape: bindShape(type.shape, bindings), dtype: type.dtype };
}

/** Number of elements of a bound shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Bytes of a bound tensor: every element type has 4 bytes. */
export function bytesOf(type: BoundType): number {
  return 4 * sizeOf(type.shape);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** The dimension at `axis`; negative axes count from the end. */
export function dimAt(shape: Shape, axis: number): Dim {
  const dim = shape.at(axis);
  if (dim === undefined) throw new GraphError(`shape ${formatShape(shape)} has no axis ${axis}`);
  return dim;
}

/** The dimension at `axis`, which must be a number. */
export function fixedDimAt(shape: Shape, axis: number): number {
  const dim = dimAt(shape, axis);
  if (typeof dim !== "number") throw new GraphError(`axis ${axis} of ${formatShape(shape)} must be a number`);
  return dim;
}

/** Shape of an elementwise result (NumPy broadcasting: right aligned, 1 stretches). */
export function broadcastShapes(shapes: readonly Shape[]): Shape {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, i) => {
    let result: Dim = 1;
    for (const shape of shapes) {
      const dim = shape[shape.length - rank + i];
      if (dim === undefined || dim === 1 || dim === result) continue;
      if (result !== 1) {
        throw new GraphError(
          `shapes ${shapes.map(formatShape).join(" and ")} do not broadcast: ${result} against ${dim}`,
        );
      }
      result = dim;
    }
    return result;
  });
}
