// linear_attention in ONNX by the standard LinearAttention, whose heads are side by side in the last axis. Unlike onnxruntime's
// own it wants a key head for each state, and no fewer queries than that: shared ones are repeated.
import { arithmetic } from "../../formats/onnx/forms/arithmetic.ts";
import { type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import { everyToken } from "./onnx-portable.ts";
import type { LinearAttentionAttributes } from "./op.ts";
import { linearAttentionShape } from "./shapes.ts";

export const toStandardOnnx: OnnxLowering<LinearAttentionAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const shape = linearAttentionShape("linear_attention", tensors[0], tensors[1], tensors[2]);
  const { batch, time, queryHeads, keyHeads, stateHeads, outputHeads, keyDim, valueDim } = shape;
  const { unsqueeze } = arithmetic(emit);
  /** x [B, T, heads, channels] side by side, each head as often as it has readers. */
  const flat = (x: Value, heads: number, channels: number, times: number): Value => {
    const wide = [batch, time, heads * times * channels];
    if (times === 1) return emit.reshape(x, [batch, time, heads, channels], wide);
    const spread = [batch, time, heads, times, channels];
    return emit.reshape(emit.node("Expand", [unsqueeze(x, 3), emit.sizes(spread)]), spread, wide);
  };
  let decay = inputs[3];
  if (decay !== undefined) {
    const tensor = present(tensors[3], "decay");
    const whole = everyToken(decay, tensor, shape, emit);
    decay = masked(tensor.shape.length === 4 ? flat(whole, stateHeads, keyDim, 1) : whole, 1, emit);
  }
  const [y, state] = emit.nodes(
    "LinearAttention",
    [
      flat(present(inputs[0], "q"), queryHeads, keyDim, outputHeads / queryHeads),
      masked(flat(present(inputs[1], "k"), keyHeads, keyDim, stateHeads / keyHeads), 1, emit),
      flat(present(inputs[2], "v"), stateHeads, valueDim, 1),
      inputs[5],
      decay,
      inputs[4],
    ],
    2,
    {
      attributes: {
        update_rule: attributes.rule,
        scale: { float: attributes.scale },
        q_num_heads: outputHeads,
        kv_num_heads: stateHeads,
      },
    },
  );
  return [
    emit.reshape(present(y, "y"), [batch, time, outputHeads * valueDim], [batch, time, outputHeads, valueDim]),
    state,
  ];
};
