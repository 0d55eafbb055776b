// Reference for causal_conv_gradient: every product that the forward pass sums, differentiated.
import type { CausalConvAttributes } from "../causal-conv/op.ts";
import { joined } from "../causal-conv/reference.ts";
import { hostZeros, type Reference, required } from "../types.ts";

export const reference: Reference<CausalConvAttributes> = (inputs, { activation }) => {
  const x = required(inputs[0], "causal_conv_gradient x");
  const w = required(inputs[1], "causal_conv_gradient w");
  const [, , bias, past, dy, dpresent] = inputs;
  const [batch = 0, tokens = 0, channels = 0] = x.shape;
  const taps = w.shape[1] ?? 0;
  const dx = hostZeros(x.shape);
  const dw = hostZeros(w.shape);
  const dbias = hostZeros([channels]);
  const dpast = hostZeros([batch, taps - 1, channels]);
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      const rows = new Float64Array(tokens + taps - 1);
      for (let i = 0; i < taps - 1; i++) rows[tokens + i] = dpresent?.data[(b * (taps - 1) + i) * channels + c] ?? 0;
      for (let t = 0; t < tokens; t++) {
        let sum = bias?.data[c] ?? 0;
        for (let k = 0; k < taps; k++) sum += (w.data[c * taps + k] ?? 0) * joined(x, past, taps, b, t + k, c);
        const s = 1 / (1 + Math.exp(-sum));
        const g =
          (dy?.data[(b * tokens + t) * channels + c] ?? 0) * (activation === "silu" ? s * (1 + sum * (1 - s)) : 1);
        dbias.data[c] = (dbias.data[c] ?? 0) + g;
        for (let k = 0; k < taps; k++) {
          rows[t + k] = (rows[t + k] ?? 0) + g * (w.data[c * taps + k] ?? 0);
          dw.data[c * taps + k] = (dw.data[c * taps + k] ?? 0) + g * joined(x, past, taps, b, t + k, c);
        }
      }
      for (const [j, value] of rows.entries()) {
        const t = j - (taps - 1);
        if (t >= 0) dx.data[(b * tokens + t) * channels + c] = value;
        else dpast.data[(b * (taps - 1) + j) * channels + c] = value;
      }
    }
  }
  return [dx, dw, dbias, dpast];
};
