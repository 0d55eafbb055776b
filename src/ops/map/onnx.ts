// map in ONNX: a node for each distinct call of the expression; constants are scalars that broadcast.
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { type ElementFunction, type Expression, formatExpression } from "../../graph/expression.ts";
import type { MapAttributes } from "./op.ts";

type Emit = (args: readonly Value[], emit: OnnxEmitter) => Value;

const operator =
  (name: string): Emit =>
  (args, emit) =>
    emit.node(name, args);

const FLOAT = 1;
const BOOL = 9;
const cast = (x: Value | undefined, to: number, emit: OnnxEmitter): Value =>
  emit.node("Cast", [x], { attributes: { to } });

const functions: { readonly [F in ElementFunction]: Emit } = {
  add: operator("Add"),
  sub: operator("Sub"),
  mul: operator("Mul"),
  div: operator("Div"),
  neg: operator("Neg"),
  max: operator("Max"),
  min: operator("Min"),
  greater: (args, emit) => cast(emit.node("Greater", args), FLOAT, emit),
  where: ([condition, ...rest], emit) => emit.node("Where", [cast(condition, BOOL, emit), ...rest]),
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

export const toOnnx: OnnxLowering<MapAttributes> = ({ inputs, attributes }, emit) => {
  const made = new Map<string, Value>();
  const visit = (expression: Expression): Value => {
    if (expression.kind === "input") return present(inputs[expression.index], `input ${expression.index} of map`);
    if (expression.kind === "constant") return emit.floats([expression.value]);
    const key = formatExpression(expression);
    let value = made.get(key);
    if (value === undefined) {
      value = functions[expression.fn](expression.args.map(visit), emit);
      made.set(key, value);
    }
    return value;
  };
  const { expression } = attributes;
  // A map that only passes a value on, or a constant on, is no call: it still is a tensor of its own.
  return [expression.kind === "call" ? visit(expression) : emit.node("Identity", [visit(expression)])];
};
