// Reference for adamw: the equations of op.ts, element by element.
import { hostZeros, type Reference, required } from "../types.ts";
import type { AdamwAttributes } from "./op.ts";

export const reference: Reference<AdamwAttributes> = (inputs, { beta1, beta2, eps, weightDecay }) => {
  const [p, g, m, v, hyper] = inputs.map((tensor) => tensor?.data ?? new Float64Array());
  const { shape } = required(inputs[0], "parameter");
  const [rate = 0, correction1 = 1, correction2 = 1] = hyper ?? [];
  const scale = inputs[5]?.data[0] ?? 1;
  const [parameter, first, second] = [hostZeros(shape), hostZeros(shape), hostZeros(shape)];
  for (let i = 0; i < parameter.data.length; i++) {
    const gradient = scale * (g?.[i] ?? 0);
    const mean = beta1 * (m?.[i] ?? 0) + (1 - beta1) * gradient;
    const square = beta2 * (v?.[i] ?? 0) + (1 - beta2) * gradient ** 2;
    first.data[i] = mean;
    second.data[i] = square;
    const step = mean / correction1 / (Math.sqrt(square / correction2) + eps);
    parameter.data[i] = (1 - rate * weightDecay) * (p?.[i] ?? 0) - rate * step;
  }
  return [parameter, first, second];
};
