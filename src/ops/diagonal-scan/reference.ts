// Reference for diagonal_scan: one mode after the other, through all tokens.
import { add, complex, discretise, multiply } from "../s4d-kernel/parameters.ts";
import { hostZeros, type Reference, required } from "../types.ts";
import type { DiagonalScanAttributes } from "./op.ts";

export const reference: Reference<DiagonalScanAttributes> = (inputs, { discretization }) => {
  const [u, logDt, logReal, imaginary, c] = inputs.slice(0, 5).map((input) => required(input, "diagonal_scan input"));
  const [batch = 0, tokens = 0, channels = 0] = u?.shape ?? [];
  const modes = logReal?.shape[1] ?? 0;
  const y = hostZeros([batch, tokens, channels]);
  const final = hostZeros([batch, channels, modes, 2]);
  for (let row = 0; row < batch; row++) {
    for (let i = 0; i < channels * modes; i++) {
      const d = Math.floor(i / modes);
      const { decay, drive } = discretise(
        logDt?.data[d] ?? 0,
        logReal?.data[i] ?? 0,
        imaginary?.data[i] ?? 0,
        discretization,
      );
      const weight = multiply(complex(c?.data[2 * i] ?? 0, c?.data[2 * i + 1] ?? 0), drive);
      const place = 2 * (row * channels * modes + i);
      let h = complex(inputs[5]?.data[place] ?? 0, inputs[5]?.data[place + 1] ?? 0);
      for (let t = 0; t < tokens; t++) {
        const token = (row * tokens + t) * channels + d;
        h = add(multiply(decay, h), complex(u?.data[token] ?? 0));
        y.data[token] = (y.data[token] ?? 0) + 2 * multiply(weight, h).re;
      }
      final.data[place] = h.re;
      final.data[place + 1] = h.im;
    }
  }
  return [y, final];
};
