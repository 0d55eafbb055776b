// rope in ONNX by the standard RotaryEmbedding, given the cosines and sines of every token.
import { arithmetic } from "../../formats/onnx/forms/arithmetic.ts";
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import { wavesOf } from "./onnx-waves.ts";
import type { RopeAttributes } from "./op.ts";

export const toStandardOnnx: OnnxLowering<RopeAttributes> = (context, emit) => {
  const { shape } = present(context.tensors[0], "x");
  const [batch = 1, time = 1] = shape;
  const half = fixedDimAt(present(context.tensors[1], "inv_freq").shape, 0);
  const [heads, width] = [fixedDimAt(shape, 2), fixedDimAt(shape, 3)];
  const { squeeze } = arithmetic(emit);
  const waves = wavesOf(context, emit);
  const [cos, sin] = [waves.cos, waves.sin].map((wave) =>
    emit.once(`rows of ${wave} ${batch}`, () => {
      // Tokens that are counted from the first on are the same in all rows.
      const rows = squeeze(wave, 2);
      return emit.sequence === undefined ? emit.node("Expand", [rows, emit.sizes([batch, time, half])]) : rows;
    }),
  );
  const turned = context.attributes.inverse ? emit.node("Neg", [sin]) : sin;
  const flat = emit.reshape(present(context.inputs[0], "x"), shape, [batch, time, heads * width]);
  const y = emit.node("RotaryEmbedding", [flat, cos, turned], {
    attributes: { num_heads: heads, ...(2 * half === width ? {} : { rotary_embedding_dim: 2 * half }) },
  });
  return [emit.reshape(y, [batch, time, heads * width], shape)];
};
