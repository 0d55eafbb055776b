// Reference for rg_lru: the recurrence, token by token.
import { hostZeros, type Reference, required } from "../types.ts";
import type { RgLruAttributes } from "./op.ts";

export const reference: Reference<RgLruAttributes> = ([input, decay, position, h0]) => {
  const x = required(input, "rg_lru x");
  const logA = required(decay, "rg_lru log_a").data;
  const [batch = 0, tokens = 0, channels = 0] = x.shape;
  const y = hostZeros(x.shape);
  const final = hostZeros([batch, channels]);
  for (let row = 0; row < batch; row++) {
    for (let c = 0; c < channels; c++) {
      let h = h0?.data[row * channels + c] ?? 0;
      for (let t = 0; t < tokens; t++) {
        const at = (row * tokens + t) * channels + c;
        const first = t === 0 && (position?.data[row] ?? 0) === 0;
        const factor = first ? 1 : Math.sqrt(-Math.expm1(2 * (logA[at] ?? 0)));
        h = Math.exp(logA[at] ?? 0) * h + factor * (x.data[at] ?? 0);
        y.data[at] = h;
      }
      final.data[row * channels + c] = h;
    }
  }
  return [y, final];
};
