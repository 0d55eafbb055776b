// Reference for rms_norm: one group of one row at a time.
import { sigmoidValue } from "../../graph/expression.ts";
import { type HostTensor, hostZeros, type Reference, required } from "../types.ts";
import type { GateActivation, RmsNormAttributes } from "./op.ts";

/** act(g) and act'(g). */
export function gateValue(g: number, activation: GateActivation): readonly [value: number, slope: number] {
  const s = sigmoidValue(g);
  if (activation === "silu") return [g * s, s * (1 + g * (1 - s))];
  if (activation === "sigmoid") return [s, s * (1 - s)];
  return [g, 1];
}

/** Factor on channel c of the normalised row: scale · w. */
export function channelFactor(weight: HostTensor | undefined, c: number, { mode, scale }: RmsNormAttributes): number {
  return scale * ((weight?.data[c] ?? 1) + (mode === "one_plus_weight" ? 1 : 0));
}

export const reference: Reference<RmsNormAttributes> = ([input, weight, gate, residual], attributes) => {
  const x = required(input, "rms_norm x");
  const { eps, groups, normBeforeGate, gateActivation } = attributes;
  const channels = x.shape.at(-1) ?? 1;
  const width = channels / groups;
  const y = hostZeros(x.shape);
  const sum = hostZeros(x.shape);
  const gateAt = (i: number): number => (gate === undefined ? 1 : gateValue(gate.data[i] ?? 0, gateActivation)[0]);
  for (let start = 0; start < x.data.length; start += width) {
    let squares = 0;
    for (let i = start; i < start + width; i++) {
      sum.data[i] = (x.data[i] ?? 0) + (residual?.data[i] ?? 0);
      y.data[i] = (sum.data[i] ?? 0) * (normBeforeGate ? 1 : gateAt(i));
      squares += (y.data[i] ?? 0) ** 2;
    }
    const inverse = 1 / Math.sqrt(squares / width + eps);
    for (let i = start; i < start + width; i++) {
      const normalised = (y.data[i] ?? 0) * inverse * channelFactor(weight, i % channels, attributes);
      y.data[i] = normalised * (normBeforeGate ? gateAt(i) : 1);
    }
  }
  return residual === undefined ? [y] : [y, sum];
};
