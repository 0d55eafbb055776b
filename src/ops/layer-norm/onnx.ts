// layer_norm in ONNX: LayerNormalization, after an addition where there is a residual.
import { type OnnxForms, type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import { toPortableOnnx } from "./onnx-portable.ts";
import type { LayerNormAttributes } from "./op.ts";

const byOperator: OnnxLowering<LayerNormAttributes> = ({ tensors, inputs, attributes: { eps } }, emit) => {
  const size = fixedDimAt(present(tensors[0], "x").shape, -1);
  const [x, weight, bias, residual] = inputs;
  const sum = residual === undefined ? undefined : emit.node("Add", [x, residual]);
  const scale = weight ?? emit.once(`ones ${size}`, () => emit.floats(new Float32Array(size).fill(1), [size]));
  const options = { attributes: { epsilon: { float: eps }, axis: -1 } };
  return [emit.node("LayerNormalization", [sum ?? x, scale, bias], options), sum];
};

export const toOnnx: OnnxForms<LayerNormAttributes> = {
  ort: byOperator,
  onnx: byOperator,
  portable: toPortableOnnx,
};
