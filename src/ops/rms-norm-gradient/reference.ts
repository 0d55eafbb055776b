// Reference for rms_norm_gradient: one group of one row at a time, formulas as in op.ts.
import type { RmsNormAttributes } from "../rms-norm/op.ts";
import { channelFactor, gateValue } from "../rms-norm/reference.ts";
import { hostZeros, type Reference, required } from "../types.ts";

export const reference: Reference<RmsNormAttributes> = (inputs, attributes) => {
  const [input, weight, gate, upstream, dsum] = inputs;
  const x = required(input, "rms_norm_gradient x");
  const dy = required(upstream, "rms_norm_gradient dy");
  const { eps, groups, normBeforeGate, gateActivation, scale } = attributes;
  const channels = x.shape.at(-1) ?? 1;
  const width = channels / groups;
  const dx = hostZeros(x.shape);
  const dweight = hostZeros([channels]);
  const dgate = hostZeros(x.shape);
  for (let start = 0; start < x.data.length; start += width) {
    const rows = Array.from({ length: width }, (_, k) => {
      const i = start + k;
      const [value, slope] = gate === undefined ? [1, 0] : gateValue(gate.data[i] ?? 0, gateActivation);
      const [before, after] = normBeforeGate ? [1, value] : [value, 1];
      const factor = channelFactor(weight, i % channels, attributes);
      const [s, d] = [x.data[i] ?? 0, dy.data[i] ?? 0];
      return { i, s, d, slope, before, after, factor, u: s * before, e: d * factor * after };
    });
    const r = 1 / Math.sqrt(rows.reduce((total, { u }) => total + u * u, 0) / width + eps);
    const mean = rows.reduce((total, { u, e }) => total + u * e, 0) / width;
    for (const { i, s, d, slope, before, after, factor, u, e } of rows) {
      const du = r * (e - u * r * r * mean);
      dx.data[i] = du * before + (dsum?.data[i] ?? 0);
      dgate.data[i] = (normBeforeGate ? d * factor * u * r : du * s) * slope;
      dweight.data[i % channels] = (dweight.data[i % channels] ?? 0) + d * scale * u * r * after;
    }
  }
  return [dx, ...(weight === undefined ? [] : [dweight]), ...(gate === undefined ? [] : [dgate])];
};
