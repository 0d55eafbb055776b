// linear_attention in ONNX: onnxruntime's LinearAttention, whose heads are side by side in the last axis. A token that is
// padding neither decays a state nor writes to it.
import { type OnnxForms, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { masked, recurrence } from "../../formats/onnx/recurrence.ts";
import type { Shape } from "../../graph/shape.ts";
import { toPortableOnnx } from "./onnx-portable.ts";
import { toScan } from "./onnx-scan.ts";
import { toStandardOnnx } from "./onnx-standard.ts";
import type { LinearAttentionAttributes } from "./op.ts";
import { linearAttentionShape } from "./shapes.ts";

const toOrt: OnnxLowering<LinearAttentionAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const shape = linearAttentionShape("linear_attention", tensors[0], tensors[1], tensors[2]);
  const { batch, time, queryHeads, stateHeads, outputHeads, valueDim } = shape;
  const flat = (x: Value, from: Shape): Value =>
    emit.reshape(x, from, [batch, time, from.slice(2).reduce<number>((n, dim) => n * Number(dim), 1)]);
  const [q, k, v] = [present(tensors[0], "q"), present(tensors[1], "k"), present(tensors[2], "v")];
  const decayShape = tensors[3]?.shape;
  let decay = inputs[3];
  if (decay !== undefined && decayShape !== undefined) {
    const whole: Shape = [batch, time, ...decayShape.slice(2)];
    if (decayShape[0] !== batch || decayShape[1] !== time) decay = emit.node("Expand", [decay, emit.sizes(whole)]);
    decay = decayShape.length === 4 ? flat(decay, whole) : decay;
    if (!emit.isZeroForPadding(tensors[3])) decay = masked(decay, 1, emit);
  }
  const key = flat(present(inputs[1], "k"), k.shape);
  const writesNothing = emit.isZeroForPadding(tensors[1]) || emit.isZeroForPadding(tensors[2]);
  const { output, state } = recurrence(
    {
      rule: attributes.rule,
      query: flat(present(inputs[0], "q"), q.shape),
      key: writesNothing ? key : masked(key, 1, emit),
      value: flat(present(inputs[2], "v"), v.shape),
      past: inputs[5],
      decay,
      beta: inputs[4],
      scale: attributes.scale,
      queryHeads,
      heads: stateHeads,
    },
    emit,
  );
  const y = emit.reshape(
    present(output, "y"),
    [batch, time, outputHeads * valueDim],
    [batch, time, outputHeads, valueDim],
  );
  return [y, state];
};

export const toOnnx: OnnxForms<LinearAttentionAttributes> = {
  ort: toOrt,
  onnx: toStandardOnnx,
  portable: toPortableOnnx,
  scan: toScan,
};
