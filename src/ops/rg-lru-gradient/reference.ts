// Reference for rg_lru_gradient: the chain rule, from the last token to the first.
import { type RgLruAttributes, SMALLEST_FACTOR } from "../rg-lru/op.ts";
import { hostZeros, type Reference, required } from "../types.ts";

export const reference: Reference<RgLruAttributes> = (inputs) => {
  const x = required(inputs[0], "rg_lru_gradient x");
  const logA = required(inputs[1], "rg_lru_gradient log_a").data;
  const y = required(inputs[4], "rg_lru_gradient y").data;
  const [, , position, h0, , dy, dhT] = inputs;
  const [batch = 0, tokens = 0, channels = 0] = x.shape;
  const dx = hostZeros(x.shape);
  const dLogA = hostZeros(x.shape);
  const dh0 = hostZeros([batch, channels]);
  for (let row = 0; row < batch; row++) {
    for (let c = 0; c < channels; c++) {
      const state = row * channels + c;
      let dh = dhT?.data[state] ?? 0;
      for (let t = tokens - 1; t >= 0; t--) {
        const at = (row * tokens + t) * channels + c;
        dh += dy?.data[at] ?? 0;
        const previous = (t === 0 ? h0?.data[state] : y[at - channels]) ?? 0;
        const first = t === 0 && (position?.data[row] ?? 0) === 0;
        const a = Math.exp(logA[at] ?? 0);
        const factor = first ? 1 : Math.sqrt(-Math.expm1(2 * (logA[at] ?? 0)));
        const slope = first ? 0 : (a * a) / Math.max(factor, SMALLEST_FACTOR);
        dx.data[at] = factor * dh;
        dLogA.data[at] = dh * (a * previous - slope * (x.data[at] ?? 0));
        dh *= a;
      }
      dh0.data[state] = dh;
    }
  }
  return [dx, dLogA, dh0];
};
