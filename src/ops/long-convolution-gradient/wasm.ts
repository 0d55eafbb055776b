// Launch of long_convolution_gradient (kernels/long_convolution).
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import type { LongConvolutionAttributes } from "../long-convolution/op.ts";
import { channelsPerItem, emitTwiddles } from "../long-convolution/wasm.ts";
import { required } from "../types.ts";

export const lower: WasmLowering<LongConvolutionAttributes> = ({ inputs, outputs }, emit) => {
  const [batch = 0, tokens = 0, channels = 0] = required(inputs[0], "u").shape;
  const { table, points } = emitTwiddles(emit, tokens);
  // Padding and taps of four channels; two rows of 16 channels of dy and of u, two transforms, those of K and their sums.
  const perThread = (6 * 128 + 16 * tokens + 256 * tokens + 10 * 32 * points + 63) & ~63;
  emit.command("long_convolution_gradient", [
    ...inputs,
    outputs[0],
    outputs[1],
    table,
    points,
    emit.scratch(emit.threads * perThread),
    perThread,
    batch,
    tokens,
    channels,
    channelsPerItem(emit, table, channels),
  ]);
};
