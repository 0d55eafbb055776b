// Reference for long_convolution_gradient: every product of the convolution sends its gradient to both factors.
import type { LongConvolutionAttributes } from "../long-convolution/op.ts";
import { hostZeros, type Reference, required } from "../types.ts";

export const reference: Reference<LongConvolutionAttributes> = (inputs) => {
  const u = required(inputs[0], "long_convolution_gradient u");
  const kernel = required(inputs[1], "long_convolution_gradient K");
  const dy = required(inputs[2], "long_convolution_gradient dy").data;
  const [batch = 0, tokens = 0, channels = 0] = u.shape;
  const du = hostZeros(u.shape);
  const dK = hostZeros(kernel.shape);
  for (let row = 0; row < batch; row++) {
    for (let t = 0; t < tokens; t++) {
      for (let d = 0; d < channels; d++) {
        const upstream = dy[(row * tokens + t) * channels + d] ?? 0;
        for (let s = 0; s <= t; s++) {
          const [tap, source] = [d * tokens + t - s, (row * tokens + s) * channels + d];
          du.data[source] = (du.data[source] ?? 0) + upstream * (kernel.data[tap] ?? 0);
          dK.data[tap] = (dK.data[tap] ?? 0) + upstream * (u.data[source] ?? 0);
        }
      }
    }
  }
  return [du, dK];
};
