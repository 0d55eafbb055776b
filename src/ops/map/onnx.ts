// map in ONNX: a node for each distinct call of the expression; constants are scalars that broadcast.
import { cast } from "../../formats/onnx/forms/cast.ts";
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { type ElementFunction, type Expression, formatExpression } from "../../graph/expression.ts";
import { type Shape, sameShape } from "../../graph/shape.ts";
import type { Tensor } from "../../graph/types.ts";
import { reshapeOp } from "../reshape/op.ts";
import type { MapAttributes } from "./op.ts";

type Emit = (args: readonly Value[], emit: OnnxEmitter) => Value;

const operator =
  (name: string): Emit =>
  (args, emit) =>
    emit.node(name, args);

const functions: { readonly [F in ElementFunction]: Emit } = {
  add: operator("Add"),
  sub: operator("Sub"),
  mul: operator("Mul"),
  div: operator("Div"),
  neg: operator("Neg"),
  max: operator("Max"),
  min: operator("Min"),
  greater: (args, emit) => cast(emit.node("Greater", args), "f32", emit),
  where: ([condition, ...rest], emit) => emit.node("Where", [cast(condition, "bool", emit), ...rest]),
  abs: operator("Abs"),
  sqrt: operator("Sqrt"),
  exp: operator("Exp"),
  log: operator("Log"),
  log1p: ([x], emit) => emit.node("Log", [emit.node("Add", [x, emit.floats([1])])]),
  tanh: operator("Tanh"),
  sigmoid: operator("Sigmoid"),
  softplus: operator("Softplus"),
  erf: operator("Erf"),
  sin: operator("Sin"),
  cos: operator("Cos"),
};

/** Most numbers that a stored value is spread out to. */
const MOST_NUMBERS = 2 ** 16;

/** The parameter that `tensor` is, under whatever shape. */
const storedAs = (tensor: Tensor | undefined): Tensor | undefined => {
  const source = tensor?.node.op.name === reshapeOp.name ? tensor.node.inputs[0] : tensor;
  return source?.node.op.leaf === "parameter" ? source : undefined;
};

/**
 * A stored value that broadcasts within the last axes, such as one number per head, spread out over them as `dims`: runtimes
 * multiply rows of many numbers faster than many rows of few.
 */
function spread(
  tensor: Tensor | undefined,
  target: Shape,
  dims: (sizes: readonly number[]) => readonly number[],
  emit: OnnxEmitter,
): Value | undefined {
  const stored = storedAs(tensor);
  if (tensor === undefined || stored === undefined || tensor.shape.length > target.length) return undefined;
  const from = tensor.shape as readonly number[];
  const to = target.slice(target.length - from.length);
  if (to.some((dim) => typeof dim !== "number")) return undefined;
  const sizes = to as readonly number[];
  const total = sizes.reduce((n, size) => n * size, 1);
  if (total > MOST_NUMBERS) return undefined;
  const result = dims(sizes);
  return emit.derived(stored, `spread.${result.join("x")}`, result, (values) =>
    Float32Array.from({ length: total }, (_, i) => {
      let [rest, index, stride] = [i, 0, 1];
      for (let axis = sizes.length - 1; axis >= 0; axis--) {
        const size = sizes[axis] ?? 1;
        if (from[axis] !== 1) {
          index += (rest % size) * stride;
          stride *= size;
        }
        rest = Math.floor(rest / size);
      }
      return values[index] ?? 0;
    }),
  );
}

type Operands = readonly (Value | undefined)[];

/** The operands with heads side by side in the last axis, where that is how they were before they were split into heads. */
function withJoinedHeads(
  tensors: readonly (Tensor | undefined)[],
  inputs: Operands,
  target: Shape,
  joined: Shape,
  emit: OnnxEmitter,
): Operands | undefined {
  const operands = inputs.map((input, i) => {
    const tensor = tensors[i];
    if (tensor === undefined || input === undefined) return undefined;
    if (sameShape(tensor.shape, target)) return emit.sourceOf(input, joined);
    const axes = tensor.shape.length;
    return axes === 2 ? spread(tensor, target, (sizes) => [sizes.reduce((n, size) => n * size, 1)], emit) : undefined;
  });
  return operands.every((operand) => operand !== undefined) ? operands : undefined;
}

export const toOnnx: OnnxLowering<MapAttributes> = ({ tensors, inputs, outputs, attributes }, emit) => {
  const target = outputs[0]?.shape ?? [];
  const [batch = 1, time = 1, heads, channels] = target;
  const joined: Shape = [batch, time, Number(heads) * Number(channels)];
  const flat = target.length === 4 ? withJoinedHeads(tensors, inputs, target, joined, emit) : undefined;
  if (flat !== undefined) return [emit.reshape(elementwise(attributes, flat, emit), joined, target)];
  const operands = inputs.map((input, i) => {
    const broadcasts = tensors[i]?.shape.at(-1) === 1 && target.at(-1) !== 1;
    return (broadcasts ? spread(tensors[i], target, (sizes) => sizes, emit) : undefined) ?? input;
  });
  return [elementwise(attributes, operands, emit)];
};

function elementwise({ expression }: MapAttributes, operands: Operands, emit: OnnxEmitter): Value {
  const made = new Map<string, Value>();
  const visit = (expression: Expression): Value => {
    if (expression.kind === "input") return present(operands[expression.index], `input ${expression.index} of map`);
    if (expression.kind === "constant") return emit.floats([expression.value]);
    const key = formatExpression(expression);
    let value = made.get(key);
    if (value === undefined) {
      value = functions[expression.fn](expression.args.map(visit), emit);
      made.set(key, value);
    }
    return value;
  };
  // A map that only passes a value on, or a constant on, is no call: it still is a tensor of its own.
  return expression.kind === "call" ? visit(expression) : emit.node("Identity", [visit(expression)]);
}
