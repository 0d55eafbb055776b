// Sizes of an attention, checked and read off the types of its inputs, and the number of scores it has to compute.
import { type Dim, formatShape, GraphError, sameShape, type TensorType } from "../../graph/shape.ts";

/** What attention and its gradient have in common. */
export interface AttentionAttributes {
  /** Factor on q·k. */
  readonly scale: number;
  /** A query sees no key after itself. */
  readonly causal: boolean;
  /** Keys that a query sees, itself included; 0 for all. Needs `causal`. */
  readonly window: number;
  /** Scores s become softcap · tanh(s / softcap); 0 for none. */
  readonly softcap: number;
}

/** Batch rows, tokens, heads and channels; symbols or numbers. */
export interface AttentionSizes<D extends Dim> {
  readonly batch: D;
  readonly queryTokens: D;
  readonly keyTokens: D;
  readonly queryHeads: number;
  readonly keyHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
}

/** Reads sizes off operands of checked shapes. */
export function attentionSizes<D extends Dim>(
  name: string,
  q: { readonly shape: readonly D[] } | undefined,
  k: { readonly shape: readonly D[] } | undefined,
  v: { readonly shape: readonly D[] } | undefined,
): AttentionSizes<D> {
  const [batch, queryTokens, queryHeads, keyDim] = q?.shape ?? [];
  const [, keyTokens, keyHeads] = k?.shape ?? [];
  const valueDim = v?.shape[3];
  if (batch === undefined || queryTokens === undefined || keyTokens === undefined) {
    throw new GraphError(`${name}: q, k and v must have 4 axes (batch, tokens, heads, channels)`);
  }
  const fixed = [queryHeads, keyHeads, keyDim, valueDim].map((dim) => (typeof dim === "number" ? dim : Number.NaN));
  const [hq = Number.NaN, hk = Number.NaN, d = Number.NaN, dv = Number.NaN] = fixed;
  return { batch, queryTokens, keyTokens, queryHeads: hq, keyHeads: hk, keyDim: d, valueDim: dv };
}

/** Throws GraphError unless q, k, v, sink and the attributes fit together. */
export function checkAttention(
  name: string,
  [q, k, v]: readonly (TensorType | undefined)[],
  sink: TensorType | undefined,
  { causal, window, softcap }: AttentionAttributes,
): AttentionSizes<Dim> {
  const inputs = { q, k, v };
  for (const [input, type] of Object.entries(inputs)) {
    if (type === undefined) throw new GraphError(`${name}: ${input} is missing`);
    if (type.dtype !== "f32" || type.shape.length !== 4) {
      throw new GraphError(
        `${name}: ${input} is ${type.dtype} ${formatShape(type.shape)}, must be f32 [B, T, heads, d]`,
      );
    }
  }
  const sizes = attentionSizes(name, q, k, v);
  const { batch, keyTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const shapes = Object.entries(inputs)
    .map(([input, type]) => `${input} ${formatShape(type?.shape ?? [])}`)
    .join(", ");
  const fail = (why: string): never => {
    throw new GraphError(`${name}: ${why} (${shapes})`);
  };
  if ([queryHeads, keyHeads, keyDim, valueDim].some(Number.isNaN)) fail("heads and channels must be numbers");
  if (!sameShape(k?.shape ?? [], [batch, keyTokens, keyHeads, keyDim]))
    fail("k must be [B, Tk, Hk, d] with B and d of q");
  if (!sameShape(v?.shape ?? [], [batch, keyTokens, keyHeads, valueDim]))
    fail("v must be [B, Tk, Hk, dv] with B, Tk and Hk of k");
  if (queryHeads % keyHeads !== 0) fail(`${queryHeads} query heads cannot share ${keyHeads} key heads evenly`);
  if (sink !== undefined && (sink.dtype !== "f32" || !sameShape(sink.shape, [queryHeads]))) {
    fail(`sink is ${sink.dtype} ${formatShape(sink.shape)}, must be f32 [${queryHeads}]`);
  }
  if (!Number.isInteger(window) || window < 0) fail(`window ${window} must be a whole number of keys, or 0 for none`);
  if (window > 0 && !causal) fail("a window needs causal attention");
  if (!(softcap >= 0)) fail(`softcap ${softcap} must be positive, or 0 for none`);
  return sizes;
}

/** Scores of one head and batch row: pairs of a query and a key that it sees, `past` keys being there before the call. */
export function visiblePairs(
  queryTokens: number,
  keyTokens: number,
  past: number,
  { causal, window }: Pick<AttentionAttributes, "causal" | "window">,
): number {
  const total = past + keyTokens;
  if (!causal) return queryTokens * total;
  // Query i sees the min(window, first + i) newest keys up to itself; queries before the first key see none.
  const start = total - queryTokens + 1;
  const first = Math.max(1, start);
  const seeing = Math.max(0, queryTokens - (first - start));
  const limit = window > 0 ? window : Number.POSITIVE_INFINITY;
  const growing = Math.min(seeing, Math.max(0, Math.min(limit, total + 1) - first));
  const triangle = growing * first + (growing * (growing - 1)) / 2;
  return triangle + (growing < seeing ? (seeing - growing) * limit : 0);
}
