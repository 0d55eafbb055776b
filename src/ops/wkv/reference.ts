// Reference for wkv: the sums, token by token, relative to their largest exponent.
import { hostZeros, type Reference, required } from "../types.ts";
import type { WkvAttributes } from "./op.ts";

export const reference: Reference<WkvAttributes> = (inputs) => {
  const k = required(inputs[0], "wkv k");
  const v = required(inputs[1], "wkv v").data;
  const [, , w, u, s0] = inputs;
  const [batch = 0, tokens = 0, channels = 0] = k.shape;
  const y = hostZeros(k.shape);
  const final = hostZeros([batch, 3, channels]);
  const states = hostZeros([batch, tokens, 3, channels]);
  for (let row = 0; row < batch; row++) {
    for (let c = 0; c < channels; c++) {
      const part = (i: number): number => (3 * row + i) * channels + c;
      let [num, den, most] = [0, 1, 2].map((i) => s0?.data[part(i)] ?? 0) as [number, number, number];
      const [decay, bonus] = [w?.data[c] ?? 0, u?.data[c] ?? 0];
      for (let t = 0; t < tokens; t++) {
        const at = (row * tokens + t) * channels + c;
        for (const [i, value] of [num, den, most].entries())
          states.data[(3 * (row * tokens + t) + i) * channels + c] = value;
        const [key, value] = [k.data[at] ?? 0, v[at] ?? 0];
        // Nothing weighs nothing, whatever its exponent.
        const old = den === 0 ? Number.NEGATIVE_INFINITY : most;
        const top = Math.max(old, bonus + key);
        const [kept, fresh] = [Math.exp(old - top), Math.exp(bonus + key - top)];
        y.data[at] = (kept * num + fresh * value) / (kept * den + fresh);
        most = Math.max(decay + old, key);
        const [faded, added] = [Math.exp(decay + old - most), Math.exp(key - most)];
        num = faded * num + added * value;
        den = faded * den + added;
      }
      for (const [i, value] of [num, den, most].entries()) final.data[part(i)] = value;
    }
  }
  return [y, final, states];
};
