// Reference for long_convolution: the sum as it is written.
import { hostZeros, type Reference, required } from "../types.ts";
import type { LongConvolutionAttributes } from "./op.ts";

export const reference: Reference<LongConvolutionAttributes> = (inputs) => {
  const u = required(inputs[0], "long_convolution u");
  const kernel = required(inputs[1], "long_convolution K").data;
  const [batch = 0, tokens = 0, channels = 0] = u.shape;
  const y = hostZeros(u.shape);
  for (let row = 0; row < batch; row++) {
    for (let t = 0; t < tokens; t++) {
      for (let d = 0; d < channels; d++) {
        let sum = 0;
        for (let s = 0; s <= t; s++) {
          sum += (kernel[d * tokens + t - s] ?? 0) * (u.data[(row * tokens + s) * channels + d] ?? 0);
        }
        y.data[(row * tokens + t) * channels + d] = sum;
      }
    }
  }
  return [y];
};
