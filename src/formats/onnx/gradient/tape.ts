// What the rules of a backward pass are written with: nodes that are added after the forward pass, sizes at run time, and the
// sum over what an operand was stretched along.
import type { OnnxBuilder } from "../builder.ts";
import { elementTypes } from "../forms/cast.ts";
import { type BuiltNode, type NodeOptions, present, type Value } from "../lowering.ts";
import type { Extent } from "./extents.ts";
import type { ValueType } from "./inference.ts";

export interface Tape {
  /** Of a value of the forward pass. */
  typeOf(value: Value): ValueType;
  node(op: string, inputs: readonly (Value | undefined)[], attributes?: NodeOptions["attributes"]): Value;
  nodes(
    op: string,
    inputs: readonly (Value | undefined)[],
    count: number,
    attributes?: NodeOptions["attributes"],
  ): Value[];
  /** An f32 scalar. */
  float(value: number): Value;
  /** An int64 constant [n]. */
  integers(values: readonly number[]): Value;
  integer(value: number): Value;
  /** The shape of a value of the forward pass, int64 [rank]. */
  shapeOf(value: Value): Value;
  /** The size of one of its axes, int64 [1]. */
  sizeOf(value: Value, axis: number): Value;
  /** Zeros of the shape of a value. */
  zerosLike(value: Value): Value;
  /** x under the shape of a value. */
  reshapeLike(x: Value, like: Value): Value;
  transpose(x: Value, perm: readonly number[]): Value;
  /**
   * A gradient of shape `from`, summed over what `target` was stretched along to it. Graphs of ours stretch axes of size 1 only,
   * and those that have it at all sizes of batch and time.
   */
  unbroadcast(gradient: Value, from: readonly Extent[], target: Value): Value;
}

export function createTape(builder: OnnxBuilder, typeOf: (value: Value) => ValueType): Tape {
  const made = new Map<string, Value>();
  const once = (key: string, make: () => Value): Value => {
    const value = made.get(key) ?? make();
    made.set(key, value);
    return value;
  };
  const nodes: Tape["nodes"] = (op, inputs, count, attributes = {}) => builder.nodes(op, inputs, count, { attributes });
  const node: Tape["node"] = (op, inputs, attributes) => present(nodes(op, inputs, 1, attributes)[0], op);
  const integers: Tape["integers"] = (values) =>
    builder.integers(`integers.${values.join(".")}`, [values.length], values);
  const shapeOf: Tape["shapeOf"] = (value) => {
    const { shape } = typeOf(value);
    if (shape.every((extent) => typeof extent === "number")) return integers(shape as readonly number[]);
    return once(`shape ${value}`, () => node("Shape", [value]));
  };
  const sum = (x: Value, axes: Value, keepdims: 0 | 1): Value => node("ReduceSum", [x, axes], { keepdims });
  const reshapeLike: Tape["reshapeLike"] = (x, like) => node("Reshape", [x, shapeOf(like)], { allowzero: 1 });

  return {
    typeOf,
    node,
    nodes,
    integers,
    integer: (value) => builder.integers(`integer.${value}`, [], [value]),
    float: (value) => builder.floats(`floats..${Math.fround(value)}`, [], () => Float32Array.of(value)),
    shapeOf,
    sizeOf(value, axis) {
      const extent = typeOf(value).shape[axis];
      if (typeof extent === "number") return integers([extent]);
      // Sizes that are written alike are equal: one node serves them all.
      return once(`size ${extent}`, () => node("Gather", [shapeOf(value), integers([axis])], { axis: 0 }));
    },
    zerosLike: (value) => once(`zeros ${value}`, () => node("ConstantOfShape", [shapeOf(value)])),
    reshapeLike,
    transpose: (x, perm) => (perm.every((axis, i) => axis === i) ? x : node("Transpose", [x], { perm })),
    unbroadcast(gradient, from, target) {
      const to = typeOf(target).shape;
      const missing = from.length - to.length;
      const leading = Array.from({ length: missing }, (_, i) => i);
      const inner: number[] = [];
      for (const [i, extent] of to.entries()) {
        const stretched = from[missing + i] ?? 1;
        if (extent === 1 && stretched !== 1) inner.push(missing + i);
      }
      if (missing === 0 && inner.length === 0) return gradient;
      if (inner.length === 0) return sum(gradient, integers(leading), 0);
      const summed = sum(gradient, integers([...leading, ...inner]), 1);
      return missing === 0 ? summed : node("Squeeze", [summed, integers(leading)]);
    },
  };
}

/** int64 sizes as f32. */
export const asFloat = (x: Value, tape: Tape): Value => tape.node("Cast", [x], { to: elementTypes.f32 });
export const asInteger = (x: Value, tape: Tape): Value => tape.node("Cast", [x], { to: elementTypes.i64 });

export interface VjpContext {
  readonly node: BuiltNode;
  /** Present inputs; see `present`. */
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  /** Of the outputs; undefined where nothing depends on one. */
  readonly gradients: readonly (Value | undefined)[];
  /** Which inputs a gradient is wanted of. */
  readonly needs: readonly boolean[];
}

/** The gradients of a node's inputs, from those of its outputs: of one output at least. */
export type Vjp = (context: VjpContext, tape: Tape) => readonly (Value | undefined)[];
