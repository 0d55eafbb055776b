// linear_attention: a matrix-valued recurrent state per head, written by keys and values, read by queries.

import {
  type Dim,
  formatShape,
  GraphError,
  type Shape,
  sameShape,
  sizeOf,
  type TensorType,
} from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { CHUNK, type LinearAttentionShape, linearAttentionShape, readersOf } from "./shapes.ts";

/** How a token changes the state; see {@link linearAttention}. */
export type UpdateRule = "linear" | "gated" | "delta" | "gated_delta";

export interface LinearAttentionAttributes {
  readonly rule: UpdateRule;
  /** Factor on the output. */
  readonly scale: number;
}

export const hasDecay = (rule: UpdateRule): boolean => rule === "gated" || rule === "gated_delta";
export const hasBeta = (rule: UpdateRule): boolean => rule === "delta" || rule === "gated_delta";

/** Inputs q, k, v, decay?, beta?, s0?; outputs y, sT, starts. See {@link linearAttention}. */
export const linearAttentionOp: OpDefinition<LinearAttentionAttributes> = {
  name: "linear_attention",
  infer: (inputs, { rule }) => {
    const shape = linearAttentionShape("linear_attention", inputs[0], inputs[1], inputs[2]);
    checkGates("linear_attention", shape, rule, inputs[3], inputs[4]);
    checkState("linear_attention", shape, inputs[5]);
    const { batch, time, outputHeads, valueDim } = shape;
    return [
      { shape: [batch, time, outputHeads, valueDim], dtype: "f32" },
      { shape: stateShape(shape), dtype: "f32" },
      { shape: startsShape(shape), dtype: "f32" },
    ];
  },
  flops: ([q, k, v, decay, beta], _, { rule }) => {
    const shape = linearAttentionShape("linear_attention", q, k, v);
    const states = sizeOf((v?.shape ?? []).slice(0, 3)) * shape.keyDim * shape.valueDim;
    const perElement = 2 + 2 * readersOf(shape) + (hasDecay(rule) ? 1 : 0) + (hasBeta(rule) ? 2 : 0);
    return perElement * states + sizeOf(decay?.shape ?? [0]) + sizeOf(beta?.shape ?? [0]);
  },
  inPlace: [[5, 1]],
};

/** Shape of a state: [B, Hv, dk, dv]. */
export const stateShape = ({ batch, stateHeads, keyDim, valueDim }: LinearAttentionShape): Shape => [
  batch,
  stateHeads,
  keyDim,
  valueDim,
];

/** Shape of the states at the starts of chunks of 64 tokens. */
export function startsShape({ batch, time, stateHeads, keyDim, valueDim }: LinearAttentionShape): Shape {
  const chunks: Dim | undefined =
    typeof time === "number" ? Math.ceil(time / CHUNK) : time === "T" ? "T/64" : undefined;
  if (chunks === undefined) throw new GraphError(`linear_attention: the time axis cannot be ${time}`);
  return [batch, chunks, stateHeads, keyDim, valueDim];
}

/** Throws GraphError unless decay and beta are there exactly when the rule needs them, with fitting shapes. */
export function checkGates(
  name: string,
  { batch, time, stateHeads, keyDim }: LinearAttentionShape,
  rule: UpdateRule,
  decay: TensorType | undefined,
  beta: TensorType | undefined,
): void {
  if (hasDecay(rule) !== (decay !== undefined)) {
    throw new GraphError(`${name}: rule ${rule} ${hasDecay(rule) ? "needs" : "takes no"} decay`);
  }
  if (hasBeta(rule) !== (beta !== undefined)) {
    throw new GraphError(`${name}: rule ${rule} ${hasBeta(rule) ? "needs" : "takes no"} beta`);
  }
  if (decay !== undefined) {
    const [b, t, ...rest] = decay.shape;
    const fits = (b === 1 || b === batch) && (t === 1 || t === time);
    if (!fits || !(sameShape(rest, [stateHeads]) || sameShape(rest, [stateHeads, keyDim]))) {
      throw new GraphError(
        `${name}: decay ${formatShape(decay.shape)} is neither [${batch} or 1, ${time} or 1, ${stateHeads}] nor that with ${keyDim} at the end`,
      );
    }
  }
  if (beta !== undefined && !sameShape(beta.shape, [batch, time, stateHeads])) {
    throw new GraphError(`${name}: beta ${formatShape(beta.shape)} is not ${formatShape([batch, time, stateHeads])}`);
  }
}

/** Throws GraphError unless a state (or its gradient), where there is one, has the shape of a state. */
export function checkState(name: string, shape: LinearAttentionShape, state: TensorType | undefined): void {
  if (state !== undefined && !sameShape(state.shape, stateShape(shape))) {
    throw new GraphError(`${name}: state ${formatShape(state.shape)} is not ${formatShape(stateShape(shape))}`);
  }
}

export interface LinearAttentionOptions {
  /** Log decay, ≤ 0 for a state that forgets: [B or 1, T or 1, Hv], or [B or 1, T or 1, Hv, dk] for one per key channel. */
  readonly decay?: Tensor;
  /** Strength of each write, [B, T, Hv]. */
  readonly beta?: Tensor;
  /** State before the first token, [B, Hv, dk, dv]; zeros when absent. */
  readonly initialState?: Tensor;
  /** Factor on the output; 1/√dk when absent. */
  readonly scale?: number;
}

export interface LinearAttentionResult {
  /** [B, T, max(Hq, Hv), dv] */
  readonly output: Tensor;
  /** State after the last token, [B, Hv, dk, dv]. */
  readonly finalState: Tensor;
}

/**
 * Linear attention: per head a state S [dk, dv] that starts at `initialState` and at each token
 *
 *     S ← e^decay S                        (rules gated, gated_delta)
 *     S ← S + k vᵀ                         (linear, gated)
 *     S ← S + β k (v - Sᵀk)ᵀ               (delta, gated_delta)
 *     y = scale · Sᵀq
 *
 * q [B, T, Hq, dk], k [B, T, Hk, dk], v [B, T, Hv, dv], all f32; there are Hv states. State head h is written by key
 * head ⌊h/(Hv/Hk)⌋. With Hq ≥ Hv output head h reads state ⌊h/(Hq/Hv)⌋; else state h is read by query head
 * ⌊h/(Hv/Hq)⌋. The delta rules want keys of norm at most 1, which the caller sees to.
 *
 * One op for RetNet (constant decay; Sun et al. 2023), lightning attention, Mamba-2 (rule gated, q = C, k = B,
 * v = Δ∘x, decay = ΔA, scale 1; Dao & Gu 2024), GLA (decay per key; Yang et al. 2024), DeltaNet (Schlag et al. 2021),
 * Gated DeltaNet (Yang et al. 2025, eq. 10) and Kimi Delta Attention. Semantics of ONNX LinearAttention-27.
 * Throws GraphError when shapes do not fit.
 */
export function linearAttention(
  rule: UpdateRule,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: LinearAttentionOptions = {},
): LinearAttentionResult {
  const { keyDim } = linearAttentionShape("linear_attention", q, k, v);
  const inputs = [q, k, v, options.decay, options.beta, options.initialState];
  const [output, finalState] = apply(linearAttentionOp, inputs, { rule, scale: options.scale ?? keyDim ** -0.5 });
  if (output === undefined || finalState === undefined) throw new GraphError("linear_attention has no outputs");
  return { output, finalState };
}
