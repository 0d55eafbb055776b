// Reference for s4d_kernel: every mode's impulse response, one token after the other.
import { hostZeros, type Reference, required } from "../types.ts";
import type { S4dKernelAttributes } from "./op.ts";
import { complex, discretise, multiply } from "./parameters.ts";

export const reference: Reference<S4dKernelAttributes> = (inputs, { discretization, length }) => {
  const [logDt, logReal, imaginary, c] = inputs.map((input) => required(input, "s4d_kernel parameter").data);
  const [channels = 0, modes = 0] = inputs[1]?.shape ?? [];
  const kernel = hostZeros([channels, Number(length)]);
  for (let d = 0; d < channels; d++) {
    for (let mode = d * modes; mode < (d + 1) * modes; mode++) {
      const { decay, drive } = discretise(
        logDt?.[d] ?? 0,
        logReal?.[mode] ?? 0,
        imaginary?.[mode] ?? 0,
        discretization,
      );
      let response = multiply(complex(c?.[2 * mode] ?? 0, c?.[2 * mode + 1] ?? 0), drive);
      for (let l = d * Number(length); l < (d + 1) * Number(length); l++) {
        kernel.data[l] = (kernel.data[l] ?? 0) + 2 * response.re;
        response = multiply(response, decay);
      }
    }
  }
  return [kernel];
};
