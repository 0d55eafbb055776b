// Reference for causal_conv: the sum as it is written, over (past, x) joined along time.
import { type HostTensor, hostZeros, type Reference, required } from "../types.ts";
import type { CausalConvAttributes } from "./op.ts";

/** Row `j`, channel `c` of (past, x) joined along time, in batch row `b`. */
export function joined(
  x: HostTensor,
  past: HostTensor | undefined,
  taps: number,
  b: number,
  j: number,
  c: number,
): number {
  const [, tokens = 0, channels = 0] = x.shape;
  const t = j - (taps - 1);
  if (t >= 0) return x.data[(b * tokens + t) * channels + c] ?? 0;
  return past?.data[(b * (taps - 1) + j) * channels + c] ?? 0;
}

export const reference: Reference<CausalConvAttributes> = (inputs, { activation }) => {
  const x = required(inputs[0], "causal_conv x");
  const w = required(inputs[1], "causal_conv w");
  const [, , bias, past] = inputs;
  const [batch = 0, tokens = 0, channels = 0] = x.shape;
  const taps = w.shape[1] ?? 0;
  const y = hostZeros(x.shape);
  const present = hostZeros([batch, taps - 1, channels]);
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      for (let t = 0; t < tokens; t++) {
        let sum = bias?.data[c] ?? 0;
        for (let k = 0; k < taps; k++) sum += (w.data[c * taps + k] ?? 0) * joined(x, past, taps, b, t + k, c);
        y.data[(b * tokens + t) * channels + c] = activation === "silu" ? sum / (1 + Math.exp(-sum)) : sum;
      }
      for (let i = 0; i < taps - 1; i++) {
        present.data[(b * (taps - 1) + i) * channels + c] = joined(x, past, taps, b, tokens + i, c);
      }
    }
  }
  return [y, present];
};
