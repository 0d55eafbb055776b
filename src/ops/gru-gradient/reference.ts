// Reference for gru_gradient: the chain rule through one cell after the other, from the last token to the first.
import type { GruAttributes } from "../gru/op.ts";
import { hostZeros, type Reference, required } from "../types.ts";

export const reference: Reference<GruAttributes> = (inputs) => {
  const weight = required(inputs[0], "gru_gradient w_hh").data;
  const y = required(inputs[1], "gru_gradient y");
  const gates = required(inputs[2], "gru_gradient gates").data;
  const [, , , h0, dy, dhT] = inputs;
  const [batch = 0, tokens = 0, hidden = 0] = y.shape;
  const dx = hostZeros([batch, tokens, 3 * hidden]);
  const dGates = hostZeros([batch, tokens, 3 * hidden]);
  const dh0 = hostZeros([batch, hidden]);
  const previous = hostZeros(y.shape);
  for (let row = 0; row < batch; row++) {
    let dh = Float64Array.from({ length: hidden }, (_, j) => dhT?.data[row * hidden + j] ?? 0);
    for (let t = tokens - 1; t >= 0; t--) {
      const token = row * tokens + t;
      const kept = new Float64Array(hidden);
      for (let j = 0; j < hidden; j++) {
        const gate = (k: number): number => gates[(4 * token + k) * hidden + j] ?? 0;
        const [r, z, n, hn] = [gate(0), gate(1), gate(2), gate(3)];
        const h = (t === 0 ? h0?.data[row * hidden + j] : y.data[(token - 1) * hidden + j]) ?? 0;
        const total = (dh[j] ?? 0) + (dy?.data[token * hidden + j] ?? 0);
        const dz = total * (h - n) * z * (1 - z);
        const dn = total * (1 - z) * (1 - n * n);
        const dr = dn * hn * r * (1 - r);
        for (const [k, value] of [dr, dz, dn].entries()) dx.data[(3 * token + k) * hidden + j] = value;
        for (const [k, value] of [dr, dz, dn * r].entries()) dGates.data[(3 * token + k) * hidden + j] = value;
        kept[j] = total * z;
        previous.data[token * hidden + j] = h;
      }
      dh = kept.map((value, k) => {
        let sum = value;
        for (let i = 0; i < 3 * hidden; i++) {
          sum += (dGates.data[3 * token * hidden + i] ?? 0) * (weight[i * hidden + k] ?? 0);
        }
        return sum;
      });
    }
    dh0.data.set(dh, row * hidden);
  }
  return [dx, dGates, dh0, previous];
};
