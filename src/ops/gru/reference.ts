// Reference for gru: the equations, token by token.
import { hostZeros, type Reference, required } from "../types.ts";
import type { GruAttributes } from "./op.ts";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export const reference: Reference<GruAttributes> = (inputs) => {
  const x = required(inputs[0], "gru x_gates");
  const weight = required(inputs[1], "gru w_hh");
  const [, , bias, h0] = inputs;
  const [batch = 0, tokens = 0] = x.shape;
  const hidden = weight.shape[1] ?? 0;
  const y = hostZeros([batch, tokens, hidden]);
  const final = hostZeros([batch, hidden]);
  const gates = hostZeros([batch, tokens, 4 * hidden]);
  for (let row = 0; row < batch; row++) {
    let h = Float64Array.from({ length: hidden }, (_, j) => h0?.data[row * hidden + j] ?? 0);
    for (let t = 0; t < tokens; t++) {
      const token = row * tokens + t;
      const recurrent = Float64Array.from({ length: 3 * hidden }, (_, i) =>
        h.reduce((sum, value, k) => sum + value * (weight.data[i * hidden + k] ?? 0), bias?.data[i] ?? 0),
      );
      h = h.map((previous, j) => {
        const [xr, xz, xn] = [0, 1, 2].map((gate) => x.data[(3 * token + gate) * hidden + j] ?? 0) as [
          number,
          number,
          number,
        ];
        const r = sigmoid(xr + (recurrent[j] ?? 0));
        const z = sigmoid(xz + (recurrent[hidden + j] ?? 0));
        const hn = recurrent[2 * hidden + j] ?? 0;
        const n = Math.tanh(xn + r * hn);
        for (const [gate, value] of [r, z, n, hn].entries()) gates.data[(4 * token + gate) * hidden + j] = value;
        return (1 - z) * n + z * previous;
      });
      y.data.set(h, token * hidden);
    }
    final.data.set(h, row * hidden);
  }
  return [y, final, gates];
};
