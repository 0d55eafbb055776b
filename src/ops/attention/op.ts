// attention: softmax attention over the keys of this call and of a cache.
import { type BoundType, formatShape, GraphError, sameShape, sizeOf, type TensorType } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { type AttentionAttributes, attentionSizes, checkAttention, visiblePairs } from "./sizes.ts";

export type { AttentionAttributes } from "./sizes.ts";

type Types<T> = readonly (T | undefined)[];

function checkCache(inputs: Types<TensorType>): void {
  const [, k, v, pastKey, pastValue, position] = inputs;
  const given = [pastKey, pastValue, position].filter((type) => type !== undefined).length;
  if (given === 0) return;
  if (given < 3)
    throw new GraphError("attention: past_k, past_v and position belong together: give all of them or none");
  for (const [name, past, now] of [
    ["past_k", pastKey, k],
    ["past_v", pastValue, v],
  ] as const) {
    const capacity = pastKey?.shape[1];
    const expected = now?.shape.map((dim, axis) => (axis === 1 ? (capacity ?? dim) : dim)) ?? [];
    if (past?.dtype !== "f32" || !sameShape(past.shape, expected)) {
      throw new GraphError(
        `attention: ${name} is ${past?.dtype} ${formatShape(past?.shape ?? [])}, must be f32 ${formatShape(expected)} (capacity on axis 1)`,
      );
    }
  }
  const batch = k?.shape[0];
  if (position?.dtype !== "i32" || batch === undefined || !sameShape(position.shape, [batch])) {
    throw new GraphError(
      `attention: position is ${position?.dtype} ${formatShape(position?.shape ?? [])}, must be i32 [${batch}]`,
    );
  }
}

/** Query-key pairs over all heads and rows, the cache taken as full. */
function pairs(inputs: Types<BoundType>, a: AttentionAttributes): number {
  const { batch, queryTokens, keyTokens, queryHeads } = attentionSizes("attention", inputs[0], inputs[1], inputs[2]);
  return batch * queryHeads * visiblePairs(queryTokens, keyTokens, inputs[3]?.shape[1] ?? 0, a);
}

/** Inputs q, k, v, past_k?, past_v?, position?, sink?; outputs y, lse, and with a cache present_k, present_v. See {@link attention}. */
export const attentionOp: OpDefinition<AttentionAttributes> = {
  name: "attention",
  infer: (inputs, attributes) => {
    const { batch, queryTokens, queryHeads, valueDim } = checkAttention("attention", inputs, inputs[6], attributes);
    checkCache(inputs);
    const [, , , pastKey, pastValue] = inputs;
    return [
      { shape: [batch, queryTokens, queryHeads, valueDim], dtype: "f32" },
      { shape: [batch, queryTokens, queryHeads], dtype: "f32" },
      ...(pastKey && pastValue ? [pastKey, pastValue].map(({ shape }) => ({ shape, dtype: "f32" as const })) : []),
    ];
  },
  // Two products, a maximum, a subtraction, an exponential and a sum for each pair; tanh and two factors with a cap.
  flops: (inputs, _, attributes) => {
    const { keyDim, valueDim } = attentionSizes("attention", inputs[0], inputs[1], inputs[2]);
    return pairs(inputs, attributes) * (2 * keyDim + 2 * valueDim + 4 + (attributes.softcap > 0 ? 3 : 0));
  },
  // A cache is read once, as far as the window reaches, and only the new rows are written.
  bytes: (inputs, outputs, { window }) => {
    const [q, k, v, pastKey, pastValue] = inputs;
    const size = (type: BoundType | undefined): number => sizeOf(type?.shape ?? [0]);
    const capacity = pastKey?.shape[1] ?? 0;
    const queries = q?.shape[1] ?? 0;
    const share = window > 0 && capacity > 0 ? Math.min(1, (window + queries - 1) / capacity) : 1;
    const fresh = size(k) + size(v);
    const cached = share * (size(pastKey) + size(pastValue)) + (pastKey ? fresh : 0);
    return 4 * (size(q) + fresh + cached + size(outputs[0]) + size(outputs[1]));
  },
  // New rows go into the ring after everything has been read.
  inPlace: [
    [3, 2],
    [4, 3],
  ],
};

export interface AttentionOptions {
  /**
   * Ring buffers of earlier keys [B, C, Hk, d] and values [B, C, Hk, dv], and the tokens before this call, i32 [B]. The
   * key of absolute position j is in slot j mod C; min(position, C) slots are filled, the others are not read.
   */
  readonly pastKey?: Tensor | undefined;
  readonly pastValue?: Tensor | undefined;
  readonly position?: Tensor | undefined;
  /** One logit per query head, [Hq], that joins the denominator without a value (neither scaled nor capped). */
  readonly sink?: Tensor | undefined;
  /** Factor on q·k; 1/√d when absent. */
  readonly scale?: number | null | undefined;
  /** Default true. */
  readonly causal?: boolean;
  /** Keys that a query sees, itself included; 0 (default) for all. */
  readonly window?: number;
  /** Scores s become softcap · tanh(s / softcap); 0 (default) for none. */
  readonly softcap?: number;
}

export interface AttentionResult {
  /** [B, Tq, Hq, dv] */
  readonly output: Tensor;
  /** Natural logarithm of the softmax's denominator, [B, Tq, Hq]; -∞ where a query sees nothing. */
  readonly logSumExp: Tensor;
  /** The ring buffers after the call: the last min(Tk, C) new rows are written. Undefined without a cache. */
  readonly presentKey: Tensor | undefined;
  readonly presentValue: Tensor | undefined;
}

/**
 * Scaled dot-product attention (Vaswani et al. 2017, eq. 1), multi-head, grouped-query or multi-query:
 *
 *     s_ij = scale · q_i·k_j, capped: softcap · tanh(s_ij / softcap)
 *     y_i = Σ_j exp(s_ij) v_j / (Σ_j exp(s_ij) + exp(sink))
 *
 * over the keys j that query i sees. q f32 [B, Tq, Hq, d], k f32 [B, Tk, Hk, d], v f32 [B, Tk, Hk, dv], Hq a multiple of
 * Hk; query head h reads key head ⌊h/(Hq/Hk)⌋. Without a cache query i stands at key i + Tk - Tq; with one, the new keys
 * follow the cached ones. Memory grows with T, not T² (FlashAttention-2, Dao 2023). A query that sees no key gives 0.
 * Sinks as in gpt-oss, soft caps as in Gemma 2. Throws GraphError when shapes do not fit.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): AttentionResult {
  const { pastKey, pastValue, position, sink, scale, causal = true, window = 0, softcap = 0 } = options;
  // Without a cache a position says nothing: queries, keys and masks are relative to each other.
  const cache = pastKey === undefined && pastValue === undefined ? [] : [pastKey, pastValue, position];
  const inputs = [q, k, v, cache[0], cache[1], cache[2], sink];
  const attributes = { scale: scale ?? Number(q.shape[3]) ** -0.5, causal, window, softcap };
  const [output, logSumExp, presentKey, presentValue] = apply(attentionOp, inputs, attributes);
  if (output === undefined || logSumExp === undefined) throw new GraphError("attention has no outputs");
  return { output, logSumExp, presentKey, presentValue };
}
