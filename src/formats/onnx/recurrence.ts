// The recurrence that com.microsoft.LinearAttention computes, which linear attention, Mamba's scan and gated linear units
// all are: per head a matrix that decays, is written by keys and values, and is read by queries.
import type { OnnxEmitter, Value } from "./lowering.ts";

export interface Recurrence {
  readonly rule: "linear" | "gated" | "delta" | "gated_delta";
  /** [B, T, queryHeads · keyDim] */
  readonly query: Value;
  /** [B, T, keyHeads · keyDim] */
  readonly key: Value;
  /** [B, T, heads · valueDim] */
  readonly value: Value;
  /** [B, heads, keyDim, valueDim]; zeros where undefined. */
  readonly past: Value | undefined;
  /** Logarithms, [B, T, heads] or [B, T, heads · keyDim]. */
  readonly decay: Value | undefined;
  /** [B, T, heads] */
  readonly beta: Value | undefined;
  readonly scale: number;
  readonly queryHeads: number;
  readonly heads: number;
}

/** Output [B, T, max(queryHeads, heads) · valueDim] and the state after the last token. */
export function recurrence(
  { rule, query, key, value, past, decay, beta, scale, queryHeads, heads }: Recurrence,
  emit: OnnxEmitter,
): { readonly output: Value | undefined; readonly state: Value | undefined } {
  const attributes = { update_rule: rule, scale: { float: scale }, q_num_heads: queryHeads, kv_num_heads: heads };
  const [output, state] = emit.nodes("LinearAttention", [query, key, value, past, decay, beta], 2, {
    attributes,
    contrib: true,
  });
  return { output, state };
}

/** x [B, T, ..], zero for the tokens that are padding: `axes` are those after time. */
export function masked(x: Value, axes: number, emit: OnnxEmitter): Value {
  if (emit.sequence === undefined) return x;
  const { tokenMask } = emit.sequence;
  const mask = emit.once(`token mask ${axes}`, () =>
    emit.node("Unsqueeze", [tokenMask, emit.integers(Array.from({ length: axes }, (_, i) => i + 2))]),
  );
  return emit.node("Mul", [x, mask]);
}
