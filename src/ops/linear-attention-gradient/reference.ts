// Reference for linear_attention_gradient: back-propagation through time, every state of the forward pass kept, float64.
import { decayReader } from "../linear-attention/decay.ts";
import { hasBeta, type LinearAttentionAttributes } from "../linear-attention/op.ts";
import { keyHeadOf, linearAttentionShape, queryHeadOf, readersOf } from "../linear-attention/shapes.ts";
import { hostZeros, type Reference, required } from "../types.ts";

export const reference: Reference<LinearAttentionAttributes> = (inputs, { rule, scale }) => {
  const [q, k, v] = [required(inputs[0], "q"), required(inputs[1], "k"), required(inputs[2], "v")];
  const [, , , decay, beta] = inputs;
  const starts = required(inputs[5], "starts");
  const [dy, dsT] = [inputs[6]?.data, inputs[7]?.data];
  const shape = linearAttentionShape("linear_attention_gradient", q, k, v);
  const { queryHeads, keyHeads, stateHeads: heads, outputHeads, keyDim: n, valueDim: p } = shape;
  const [batch = 0, time = 0] = q.shape;
  const readers = readersOf(shape);
  const delta = hasBeta(rule);
  const perKey = decay?.shape.length === 4;
  const decayAt = decayReader(decay);
  const dq = hostZeros(q.shape);
  const dk = hostZeros(k.shape);
  const dv = hostZeros(v.shape);
  const ddecay = hostZeros(perKey ? [batch, time, heads, n] : [batch, time, heads]);
  const dbeta = hostZeros([batch, time, heads]);
  const ds0 = hostZeros([batch, heads, n, p]);
  const add = (data: Float64Array, i: number, value: number) => {
    data[i] = (data[i] ?? 0) + value;
  };

  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const keyOf = (t: number) => ((b * time + t) * keyHeads + keyHeadOf(shape, h)) * n;
      const valuesOf = (t: number) => ((b * time + t) * heads + h) * p;
      const betaOf = (t: number) => (delta ? (beta?.data[(b * time + t) * heads + h] ?? 0) : 1);
      const head = (b * heads + h) * n * p;

      // Forward again: decayed[t] is the state that token t meets after its decay, errors[t] what it writes before β.
      const decayed: Float64Array[] = [];
      const errors: Float64Array[] = [];
      const after: Float64Array[] = [];
      // Chunk 0 of `starts` is the initial state.
      let state = Float64Array.from(
        { length: n * p },
        (_, i) => starts.data[b * (starts.shape[1] ?? 0) * heads * n * p + h * n * p + i] ?? 0,
      );
      for (let t = 0; t < time; t++) {
        const met = state.map((x, i) => x * Math.exp(decayAt(b, t, h, Math.floor(i / p))));
        const error = Float64Array.from({ length: p }, (_, c) => {
          let sum = v.data[valuesOf(t) + c] ?? 0;
          if (delta) for (let i = 0; i < n; i++) sum -= (met[i * p + c] ?? 0) * (k.data[keyOf(t) + i] ?? 0);
          return sum;
        });
        state = met.map((x, i) => x + (k.data[keyOf(t) + Math.floor(i / p)] ?? 0) * betaOf(t) * (error[i % p] ?? 0));
        decayed.push(met);
        errors.push(error);
        after.push(state);
      }

      const ds = Float64Array.from({ length: n * p }, (_, i) => dsT?.[head + i] ?? 0);
      for (let t = time - 1; t >= 0; t--) {
        const [met, error, final] = [decayed[t] ?? state, errors[t] ?? state, after[t] ?? state];
        for (let out = h * readers; out < (h + 1) * readers; out++) {
          const query = ((b * time + t) * queryHeads + queryHeadOf(shape, out)) * n;
          const output = ((b * time + t) * outputHeads + out) * p;
          for (let i = 0; i < n * p; i++) {
            const upstream = scale * (dy?.[output + (i % p)] ?? 0);
            add(ds, i, (q.data[query + Math.floor(i / p)] ?? 0) * upstream);
            add(dq.data, query + Math.floor(i / p), (final[i] ?? 0) * upstream);
          }
        }
        // S = met + k (β e)ᵀ, e = v - metᵀ k
        for (let c = 0; c < p; c++) {
          let dwrite = 0;
          for (let i = 0; i < n; i++) {
            dwrite += (k.data[keyOf(t) + i] ?? 0) * (ds[i * p + c] ?? 0);
            add(dk.data, keyOf(t) + i, (ds[i * p + c] ?? 0) * betaOf(t) * (error[c] ?? 0));
          }
          if (delta) add(dbeta.data, (b * time + t) * heads + h, dwrite * (error[c] ?? 0));
          const derror = dwrite * betaOf(t);
          add(dv.data, valuesOf(t) + c, derror);
          if (!delta) continue;
          for (let i = 0; i < n; i++) {
            add(dk.data, keyOf(t) + i, -(met[i * p + c] ?? 0) * derror);
            add(ds, i * p + c, -(k.data[keyOf(t) + i] ?? 0) * derror);
          }
        }
        for (let i = 0; i < n * p; i++) {
          const row = Math.floor(i / p);
          const at = (b * time + t) * heads + h;
          add(ddecay.data, perKey ? at * n + row : at, (ds[i] ?? 0) * (met[i] ?? 0));
          ds[i] = (ds[i] ?? 0) * Math.exp(decayAt(b, t, h, row));
        }
      }
      ds0.data.set(ds, head);
    }
  }
  return [dq, dk, dv, ddecay, dbeta, ds0];
};
