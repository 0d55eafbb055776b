// rms_norm in ONNX: onnxruntime's SimplifiedLayerNormalization, with the residual addition SkipSimplifiedLayerNormalization.
// Gates are products before or after it.
import {
  type OnnxEmitter,
  type OnnxForms,
  type OnnxLowering,
  present,
  type Value,
} from "../../formats/onnx/lowering.ts";
import { fixedDimAt, type Shape } from "../../graph/shape.ts";
import type { Tensor } from "../../graph/types.ts";
import { toPortableOnnx, toStandardOnnx } from "./onnx-portable.ts";
import type { GateActivation, RmsNormAttributes } from "./op.ts";

function activated(gate: Value, activation: GateActivation, emit: OnnxEmitter): Value {
  if (activation === "none") return gate;
  const sigmoid = emit.node("Sigmoid", [gate]);
  return activation === "sigmoid" ? sigmoid : emit.node("Mul", [gate, sigmoid]);
}

const ones = (size: number, emit: OnnxEmitter): Value =>
  emit.once(`ones ${size}`, () => emit.floats(new Float32Array(size).fill(1), [size]));

/** The vector that multiplies the normalised values: weight, 1 + weight, or ones. */
function weightOf(
  weight: Value | undefined,
  tensor: Tensor | undefined,
  { mode }: RmsNormAttributes,
  size: number,
  emit: OnnxEmitter,
): Value {
  if (weight === undefined) return ones(size, emit);
  if (mode !== "one_plus_weight") return weight;
  const stored = emit.derived(tensor, "one-plus", [size], (values) => values.map((value) => 1 + value));
  return stored ?? emit.node("Add", [weight, emit.floats([1])]);
}

/** Groups of channels are an axis of their own while they are normalised. */
function normalised(
  x: Value,
  weight: Value,
  shape: Shape,
  { groups, eps }: RmsNormAttributes,
  emit: OnnxEmitter,
): Value {
  const options = { attributes: { epsilon: { float: eps }, axis: -1 } };
  if (groups === 1) return emit.node("SimplifiedLayerNormalization", [x, weight], options);
  const size = fixedDimAt(shape, -1) / groups;
  const split: Shape = [...shape.slice(0, -1), groups, size];
  const parts = emit.reshape(x, shape, split);
  const y = emit.node("SimplifiedLayerNormalization", [parts, ones(size, emit)], options);
  return emit.node("Mul", [emit.reshape(y, split, shape), weight]);
}

const toOrt: OnnxLowering<RmsNormAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const { shape } = present(tensors[0], "x");
  const [, , gate, residual] = inputs;
  const weight = weightOf(inputs[1], tensors[1], attributes, fixedDimAt(shape, -1), emit);
  let x = present(inputs[0], "x");
  let sum: Value | undefined;
  let y: Value | undefined;
  const act = gate === undefined ? undefined : activated(gate, attributes.gateActivation, emit);
  // The fused node wants three axes and gates nothing before the norm.
  if (
    residual !== undefined &&
    shape.length === 3 &&
    attributes.groups === 1 &&
    (gate === undefined || attributes.normBeforeGate)
  ) {
    const options = { attributes: { epsilon: { float: attributes.eps } }, contrib: true };
    [y, , , sum] = emit.nodes("SkipSimplifiedLayerNormalization", [x, residual, weight], 4, options);
  } else if (residual !== undefined) {
    sum = emit.node("Add", [x, residual]);
    x = sum;
  }
  if (act !== undefined && !attributes.normBeforeGate) x = emit.node("Mul", [x, act]);
  y ??= normalised(x, weight, shape, attributes, emit);
  if (act !== undefined && attributes.normBeforeGate) y = emit.node("Mul", [y, act]);
  if (attributes.scale !== 1) y = emit.node("Mul", [y, emit.floats([attributes.scale])]);
  return [y, sum];
};

export const toOnnx: OnnxForms<RmsNormAttributes> = {
  ort: toOrt,
  onnx: toStandardOnnx,
  portable: toPortableOnnx,
};
