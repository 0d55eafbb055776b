// The facets of an op, as types. An op is a folder src/ops/<op>/ with
//   op.ts         its OpDefinition and the function that applies it
//   reference.ts  the shortest correct loop in float64: oracle, fallback and documentation at once
//   gradient.ts   its reverse-mode rule, made of graph ops
//   wasm.ts       how the WebAssembly runtime launches it
// and a row in each table of src/ops/index.ts, src/ops/gradients.ts, src/runtime/*/table.ts.
import type { DType } from "../graph/shape.ts";
import type { Tensor } from "../graph/types.ts";

/** A tensor in host memory as references compute with it: float64 for f32, row-major contiguous. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: Float64Array | Int32Array;
}

/** Computes an op from its definition, in float64. Must not keep or modify its inputs. Returns every output. */
export type Reference<A> = (inputs: readonly (HostTensor | undefined)[], attributes: A) => HostTensor[];

export interface GradientContext<A> {
  readonly inputs: readonly (Tensor | undefined)[];
  readonly outputs: readonly Tensor[];
  readonly attributes: A;
  /** Gradient of the loss with respect to each output; undefined means zero. At least one is defined. */
  readonly gradients: readonly (Tensor | undefined)[];
  /** Which inputs need a gradient: the others may be skipped (return undefined). */
  readonly needs: readonly boolean[];
}

/** Returns the gradient with respect to each input (undefined: none, or not needed), as graph tensors. */
export type GradientRule<A> = (context: GradientContext<A>) => readonly (Tensor | undefined)[];

/** `input`, which the op cannot do without. For facets: absent optional inputs are undefined. */
export function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`${what} is missing`);
  return value;
}

/** A zero-filled f32 host tensor. */
export function hostZeros(shape: readonly number[]): HostTensor & { readonly data: Float64Array } {
  return { shape, dtype: "f32", data: new Float64Array(shape.reduce((n, d) => n * d, 1)) };
}
