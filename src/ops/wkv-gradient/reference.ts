// Reference for wkv_gradient: the chain rule, from the last token to the first.
import { hostZeros, type Reference, required } from "../types.ts";
import type { WkvAttributes } from "../wkv/op.ts";

export const reference: Reference<WkvAttributes> = (inputs) => {
  const k = required(inputs[0], "wkv_gradient k");
  const v = required(inputs[1], "wkv_gradient v").data;
  const states = required(inputs[4], "wkv_gradient states").data;
  const [, , w, u, , sT, dy, dsT] = inputs;
  const [batch = 0, tokens = 0, channels = 0] = k.shape;
  const [dk, dv] = [hostZeros(k.shape), hostZeros(k.shape)];
  const [dw, du] = [hostZeros([batch, channels]), hostZeros([batch, channels])];
  const ds0 = hostZeros([batch, 3, channels]);
  for (let row = 0; row < batch; row++) {
    for (let c = 0; c < channels; c++) {
      const place = (i: number): number => (3 * row + i) * channels + c;
      const [decay, bonus] = [w?.data[c] ?? 0, u?.data[c] ?? 0];
      let dNum = dsT?.data[place(0)] ?? 0;
      let dDen = dsT?.data[place(1)] ?? 0;
      // With the true sums held fixed, the first two entries of the final state fall as its exponent grows.
      let dMost = (dsT?.data[place(2)] ?? 0) - dNum * (sT?.data[place(0)] ?? 0) - dDen * (sT?.data[place(1)] ?? 0);
      let [num, den] = [0, 0];
      for (let t = tokens - 1; t >= 0; t--) {
        const token = row * tokens + t;
        const at = token * channels + c;
        const before = (i: number): number => states[(3 * token + i) * channels + c] ?? 0;
        [num, den] = [before(0), before(1)];
        const old = den === 0 ? Number.NEGATIVE_INFINITY : before(2);
        const [key, value, upstream] = [k.data[at] ?? 0, v[at] ?? 0, dy?.data[at] ?? 0];
        const most = Math.max(decay + old, key);
        const [faded, added] = [Math.exp(decay + old - most), Math.exp(key - most)];
        const isOld = decay + old >= key;
        const top = Math.max(old, bonus + key);
        const [kept, fresh] = [Math.exp(old - top), Math.exp(bonus + key - top)];
        const sum = kept * den + fresh;
        const dTop = upstream / sum;
        const dBottom = (-dTop * (kept * num + fresh * value)) / sum;
        const dFresh = fresh * (dTop * value + dBottom);
        dv.data[at] = dNum * added + dTop * fresh;
        dk.data[at] = added * (dNum * value + dDen) + dFresh + (isOld ? 0 : dMost);
        const state = row * channels + c;
        dw.data[state] = (dw.data[state] ?? 0) + faded * (dNum * num + dDen * den) + (isOld ? dMost : 0);
        du.data[state] = (du.data[state] ?? 0) + dFresh;
        if (!isOld) dMost = 0;
        dNum = faded * dNum + kept * dTop;
        dDen = faded * dDen + kept * dBottom;
      }
      for (const [i, value] of [dNum, dDen, dMost + dNum * num + dDen * den].entries()) ds0.data[place(i)] = value;
    }
  }
  return [dk, dv, dw, du, ds0];
};
