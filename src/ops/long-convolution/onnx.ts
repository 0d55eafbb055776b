// long_convolution in ONNX: a depthwise Conv with a kernel as long as the sequence, over the tokens after as many zeros.
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { dimAt, fixedDimAt } from "../../graph/shape.ts";
import type { LongConvolutionAttributes } from "./op.ts";

export const toOnnx: OnnxLowering<LongConvolutionAttributes> = ({ tensors, inputs }, emit) => {
  const { shape } = present(tensors[0], "u");
  const channels = fixedDimAt(shape, 2);
  const swapped = { attributes: { perm: [0, 2, 1] } };
  const one = emit.integers([1]);
  const before = emit.node("Sub", [emit.sizes([dimAt(shape, 1)]), one]);
  const pads = emit.node("Concat", [emit.integers([0, 0]), before, emit.integers([0, 0, 0])], {
    attributes: { axis: 0 },
  });
  const tokens = emit.node("Pad", [emit.node("Transpose", [present(inputs[0], "u")], swapped), pads]);
  // The last tap is that of the newest token.
  const [start, end] = [emit.integers([-1]), emit.integers([-Number.MAX_SAFE_INTEGER])];
  const reversed = emit.node("Slice", [inputs[1], start, end, one, emit.integers([-1])]);
  const kernel = emit.node("Unsqueeze", [reversed, one]);
  const y = emit.node("Conv", [tokens, kernel], { attributes: { group: channels } });
  return [emit.node("Transpose", [y], swapped)];
};
