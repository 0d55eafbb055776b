// Short names for the operators that closed forms are made of, so that a form reads like its formula.
import type { OnnxEmitter, Value } from "../lowering.ts";

/** A slice that ends here reaches the end of its axis. */
export const END = Number.MAX_SAFE_INTEGER;
/** An exponent that weighs nothing, and finite, so that differences of two of them are no NaN. */
export const NEVER = -1e30;

export interface Arithmetic {
  add(a: Value, b: Value): Value;
  sub(a: Value, b: Value): Value;
  mul(a: Value, b: Value): Value;
  div(a: Value, b: Value): Value;
  max(a: Value, b: Value): Value;
  exp(x: Value): Value;
  matMul(a: Value, b: Value): Value;
  where(condition: Value, a: Value, b: Value): Value;
  concat(values: readonly Value[], axis: number): Value;
  /** Elements `start` to `end` − 1 of an axis, every `step`-th; bounds are numbers or int64 [1]. */
  slice(x: Value, axis: number, start: number | Value, end: number | Value, step?: number): Value;
  transpose(x: Value, perm: readonly number[]): Value;
  /** New axes of size 1, counted in the result. */
  unsqueeze(x: Value, ...axes: readonly number[]): Value;
  squeeze(x: Value, ...axes: readonly number[]): Value;
  cumSum(x: Value, axis: number): Value;
}

export function arithmetic(emit: OnnxEmitter): Arithmetic {
  const bound = (at: number | Value): Value => (typeof at === "number" ? emit.integers([at]) : at);
  return {
    add: (a, b) => emit.node("Add", [a, b]),
    sub: (a, b) => emit.node("Sub", [a, b]),
    mul: (a, b) => emit.node("Mul", [a, b]),
    div: (a, b) => emit.node("Div", [a, b]),
    max: (a, b) => emit.node("Max", [a, b]),
    exp: (x) => emit.node("Exp", [x]),
    matMul: (a, b) => emit.node("MatMul", [a, b]),
    where: (condition, a, b) => emit.node("Where", [condition, a, b]),
    concat: (values, axis) => emit.node("Concat", values, { attributes: { axis } }),
    slice: (x, axis, start, end, step = 1) =>
      emit.node("Slice", [
        x,
        bound(start),
        bound(end),
        emit.integers([axis]),
        step === 1 ? undefined : emit.integers([step]),
      ]),
    transpose: (x, perm) => emit.node("Transpose", [x], { attributes: { perm } }),
    unsqueeze: (x, ...axes) => emit.node("Unsqueeze", [x, emit.integers(axes)]),
    squeeze: (x, ...axes) => emit.node("Squeeze", [x, emit.integers(axes)]),
    cumSum: (x, axis) => emit.node("CumSum", [x, emit.integer(axis)]),
  };
}
