// Reference for selective_scan_gradient: keeps every state of a channel, then walks back.

import { CHUNK, type SelectiveScanAttributes } from "../selective-scan/op.ts";
import { at, sigmoid, softplus } from "../selective-scan/reference.ts";
import { type HostTensor, hostZeros, type Reference, required } from "../types.ts";

const add = (tensor: HostTensor, i: number, value: number): void => {
  tensor.data[i] = at(tensor, i) + value;
};

export const reference: Reference<SelectiveScanAttributes> = (inputs, { deltaSoftplus }) => {
  const [u, delta, a, b, c, skip, z, bias, starts, dy, dhT] = inputs;
  const [batch = 0, tokens = 0, channels = 0] = required(u, "u").shape;
  const states = required(a, "A").shape[1] ?? 0;
  const chunks = Math.ceil(tokens / CHUNK);
  const sequence = [batch, tokens, channels];
  const [du, ddelta, dz] = [hostZeros(sequence), hostZeros(sequence), hostZeros(sequence)];
  const [dB, dC] = [hostZeros([batch, tokens, states]), hostZeros([batch, tokens, states])];
  const [dA, dD, dbias] = [hostZeros([channels, states]), hostZeros([channels]), hostZeros([channels])];
  const dh0 = hostZeros([batch, channels, states]);
  const kept = new Float64Array((tokens + 1) * states);
  for (let i = 0; i < batch; i++) {
    for (let d = 0; d < channels; d++) {
      const raw = (t: number): number => at(delta, (i * tokens + t) * channels + d) + at(bias, d);
      const stepOf = (t: number): number => (deltaSoftplus ? softplus(raw(t)) : raw(t));
      for (let n = 0; n < states; n++) kept[n] = at(starts, (i * chunks * channels + d) * states + n);
      for (let t = 0; t < tokens; t++) {
        const drive = stepOf(t) * at(u, (i * tokens + t) * channels + d);
        for (let n = 0; n < states; n++) {
          kept[(t + 1) * states + n] =
            Math.exp(stepOf(t) * at(a, d * states + n)) * (kept[t * states + n] ?? 0) +
            drive * at(b, (i * tokens + t) * states + n);
        }
      }
      const adjoint = Float64Array.from({ length: states }, (_, n) => at(dhT, (i * channels + d) * states + n));
      for (let t = tokens - 1; t >= 0; t--) {
        const token = (i * tokens + t) * channels + d;
        const [step, input, gate] = [stepOf(t), at(u, token), at(z, token)];
        const e = at(dy, token) * (z === undefined ? 1 : gate * sigmoid(gate));
        let inner = at(skip, d) * input;
        let dinput = at(skip, d) * e;
        let dstep = 0;
        for (let n = 0; n < states; n++) {
          const projection = (i * tokens + t) * states + n;
          const rate = at(a, d * states + n);
          const h = kept[(t + 1) * states + n] ?? 0;
          const g = (adjoint[n] ?? 0) + at(c, projection) * e;
          const carried = Math.exp(step * rate) * g;
          const passed = carried * (kept[t * states + n] ?? 0);
          inner += at(c, projection) * h;
          dinput += step * g * at(b, projection);
          dstep += input * g * at(b, projection) + rate * passed;
          add(dA, d * states + n, step * passed);
          add(dB, projection, step * input * g);
          add(dC, projection, e * h);
          adjoint[n] = carried;
        }
        const s = sigmoid(gate);
        const draw = dstep * (deltaSoftplus ? sigmoid(raw(t)) : 1);
        du.data[token] = dinput;
        ddelta.data[token] = draw;
        dz.data[token] = z === undefined ? 0 : at(dy, token) * inner * s * (1 + gate * (1 - s));
        add(dD, d, e * input);
        add(dbias, d, draw);
      }
      dh0.data.set(adjoint, (i * channels + d) * states);
    }
  }
  return [du, ddelta, dA, dB, dC, dD, dz, dbias, dh0];
};
