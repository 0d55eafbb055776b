// rms_norm in ONNX without operators of onnxruntime: from primitives, or by the standard RMSNormalization where there is one.
import { arithmetic } from "../../formats/onnx/forms/arithmetic.ts";
import { ones } from "../../formats/onnx/forms/constants.ts";
import { reduceOver } from "../../formats/onnx/forms/reduce.ts";
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { fixedDimAt, type Shape } from "../../graph/shape.ts";
import type { GateActivation, RmsNormAttributes } from "./op.ts";

/** x, whose last axis has `size` channels, over the root of its mean square; times `weight` where there is one. */
type Normalise = (x: Value, weight: Value | undefined, size: number, eps: number, emit: OnnxEmitter) => Value;

function activated(gate: Value, activation: GateActivation, emit: OnnxEmitter): Value {
  if (activation === "none") return gate;
  const sigmoid = emit.node("Sigmoid", [gate]);
  return activation === "sigmoid" ? sigmoid : emit.node("Mul", [gate, sigmoid]);
}

/** Groups of channels are an axis of their own while they are normalised. */
function inGroups(
  normalise: Normalise,
  x: Value,
  weight: Value | undefined,
  shape: Shape,
  { groups, eps }: RmsNormAttributes,
  emit: OnnxEmitter,
): Value {
  const size = fixedDimAt(shape, -1) / groups;
  if (groups === 1) return normalise(x, weight, size, eps, emit);
  const split: Shape = [...shape.slice(0, -1), groups, size];
  const y = emit.reshape(normalise(emit.reshape(x, shape, split), undefined, size, eps, emit), split, shape);
  return weight === undefined ? y : emit.node("Mul", [y, weight]);
}

const rmsNormBy =
  (normalise: Normalise): OnnxLowering<RmsNormAttributes> =>
  ({ tensors, inputs, attributes }, emit) => {
    const { add, mul } = arithmetic(emit);
    const { shape } = present(tensors[0], "x");
    const [first, stored, gate, residual] = inputs;
    const weight =
      stored !== undefined && attributes.mode === "one_plus_weight" ? add(stored, emit.floats([1])) : stored;
    let x = present(first, "x");
    const sum = residual === undefined ? undefined : add(x, residual);
    x = sum ?? x;
    const act = gate === undefined ? undefined : activated(gate, attributes.gateActivation, emit);
    if (act !== undefined && !attributes.normBeforeGate) x = mul(x, act);
    let y = inGroups(normalise, x, weight, shape, attributes, emit);
    if (act !== undefined && attributes.normBeforeGate) y = mul(y, act);
    if (attributes.scale !== 1) y = mul(y, emit.floats([attributes.scale]));
    return [y, sum];
  };

const fromPrimitives: Normalise = (x, weight, _size, eps, emit) => {
  const { add, mul, div } = arithmetic(emit);
  const square = reduceOver("ReduceMean", mul(x, x), [-1], true, emit);
  const y = div(x, emit.node("Sqrt", [add(square, emit.floats([eps]))]));
  return weight === undefined ? y : mul(y, weight);
};

const byOperator: Normalise = (x, weight, size, eps, emit) =>
  emit.node("RMSNormalization", [x, weight ?? ones(size, emit)], {
    attributes: { axis: -1, epsilon: { float: eps } },
  });

export const toPortableOnnx = rmsNormBy(fromPrimitives);
export const toStandardOnnx = rmsNormBy(byOperator);
