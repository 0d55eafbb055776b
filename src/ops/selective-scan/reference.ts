// Reference for selective_scan: the recurrence as it is written, one token after the other.
import { type HostTensor, hostZeros, type Reference, required } from "../types.ts";
import { CHUNK, type SelectiveScanAttributes } from "./op.ts";

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** Element `i` of a tensor, or `otherwise` where there is no tensor. */
export const at = (tensor: HostTensor | undefined, i: number, otherwise = 0): number => tensor?.data[i] ?? otherwise;

export const reference: Reference<SelectiveScanAttributes> = (inputs, { deltaSoftplus }) => {
  const [, , , b, c, skip, z, bias, h0] = inputs;
  const u = required(inputs[0], "selective_scan u");
  const delta = required(inputs[1], "selective_scan delta");
  const a = required(inputs[2], "selective_scan A");
  const [batch = 0, tokens = 0, channels = 0] = u.shape;
  const states = a.shape[1] ?? 0;
  const chunks = Math.ceil(tokens / CHUNK);
  const y = hostZeros(u.shape);
  const h = hostZeros([batch, channels, states]);
  const starts = hostZeros([batch, chunks, channels, states]);
  for (let i = 0; i < batch; i++) {
    for (let d = 0; d < channels; d++) {
      const state = h.data.subarray((i * channels + d) * states, (i * channels + d + 1) * states);
      for (let n = 0; n < states; n++) state[n] = at(h0, (i * channels + d) * states + n);
      for (let t = 0; t < tokens; t++) {
        if (t % CHUNK === 0) starts.data.set(state, ((i * chunks + t / CHUNK) * channels + d) * states);
        const token = (i * tokens + t) * channels + d;
        const raw = at(delta, token) + at(bias, d);
        const step = deltaSoftplus ? softplus(raw) : raw;
        let sum = at(skip, d) * at(u, token);
        for (let n = 0; n < states; n++) {
          const projection = (i * tokens + t) * states + n;
          const next =
            Math.exp(step * at(a, d * states + n)) * (state[n] ?? 0) + step * at(u, token) * at(b, projection);
          state[n] = next;
          sum += at(c, projection) * next;
        }
        y.data[token] = z === undefined ? sum : sum * at(z, token) * sigmoid(at(z, token));
      }
    }
  }
  return [y, h, starts];
};
