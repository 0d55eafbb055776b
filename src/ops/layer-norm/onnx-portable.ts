// layer_norm in ONNX from primitives.
import { arithmetic } from "../../formats/onnx/forms/arithmetic.ts";
import { reduceOver } from "../../formats/onnx/forms/reduce.ts";
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import type { LayerNormAttributes } from "./op.ts";

export const toPortableOnnx: OnnxLowering<LayerNormAttributes> = ({ inputs, attributes: { eps } }, emit) => {
  const { add, sub, mul, div } = arithmetic(emit);
  const [first, weight, bias, residual] = inputs;
  const sum = residual === undefined ? undefined : add(present(first, "x"), residual);
  const x = sum ?? present(first, "x");
  const centred = sub(x, reduceOver("ReduceMean", x, [-1], true, emit));
  const variance = reduceOver("ReduceMean", mul(centred, centred), [-1], true, emit);
  let y = div(centred, emit.node("Sqrt", [add(variance, emit.floats([eps]))]));
  if (weight !== undefined) y = mul(y, weight);
  if (bias !== undefined) y = add(y, bias);
  return [y, sum];
};
