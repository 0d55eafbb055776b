// linear_attention_gradient: reverse mode of linear_attention with respect to all of its inputs.
import { formatShape, GraphError, sameShape, sizeOf } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import {
  checkGates,
  checkState,
  hasBeta,
  type LinearAttentionAttributes,
  startsShape,
  stateShape,
} from "../linear-attention/op.ts";
import { linearAttentionShape, readersOf } from "../linear-attention/shapes.ts";

/**
 * Inputs q, k, v, decay?, beta?, starts, dy?, dsT?; outputs dq, dk, dv, ddecay, dbeta, ds0. `starts` is output 2 of
 * the forward op; an absent dy or dsT is zero. ddecay is [B, T, Hv] or [B, T, Hv, dk] even where decay has axes of
 * length 1; ddecay and dbeta have no meaning where the forward op had no such input.
 */
export const linearAttentionGradientOp: OpDefinition<LinearAttentionAttributes> = {
  name: "linear_attention_gradient",
  infer: ([q, k, v, decay, beta, starts, dy, dsT], { rule }) => {
    const name = "linear_attention_gradient";
    const shape = linearAttentionShape(name, q, k, v);
    checkGates(name, shape, rule, decay, beta);
    checkState(name, shape, dsT);
    const { batch, time, queryHeads, keyHeads, stateHeads, outputHeads, keyDim, valueDim } = shape;
    if (starts === undefined || !sameShape(starts.shape, startsShape(shape))) {
      throw new GraphError(
        `${name}: starts ${starts ? formatShape(starts.shape) : "(missing)"} is not ${formatShape(startsShape(shape))}`,
      );
    }
    const output = [batch, time, outputHeads, valueDim];
    if (dy !== undefined && !sameShape(dy.shape, output)) {
      throw new GraphError(`${name}: dy ${formatShape(dy.shape)} is not ${formatShape(output)}`);
    }
    return [
      { shape: [batch, time, queryHeads, keyDim], dtype: "f32" },
      { shape: [batch, time, keyHeads, keyDim], dtype: "f32" },
      { shape: [batch, time, stateHeads, valueDim], dtype: "f32" },
      {
        shape: decay?.shape.length === 4 ? [batch, time, stateHeads, keyDim] : [batch, time, stateHeads],
        dtype: "f32",
      },
      { shape: [batch, time, stateHeads], dtype: "f32" },
      { shape: stateShape(shape), dtype: "f32" },
    ];
  },
  flops: ([q, k, v], _, { rule }) => {
    const shape = linearAttentionShape("linear_attention_gradient", q, k, v);
    const states = sizeOf((v?.shape ?? []).slice(0, 3)) * shape.keyDim * shape.valueDim;
    // Per element of the state and token: state, its gradient, dq, dk, dv; the delta rules read and write it once more.
    return 2 * (3 + 2 * readersOf(shape) + (hasBeta(rule) ? 3 : 0)) * states;
  },
};

export interface LinearAttentionGradientInputs {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly decay?: Tensor | undefined;
  readonly beta?: Tensor | undefined;
  readonly starts: Tensor;
  readonly outputGradient?: Tensor | undefined;
  readonly finalStateGradient?: Tensor | undefined;
}

export interface LinearAttentionGradients {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly decay: Tensor;
  readonly beta: Tensor;
  readonly initialState: Tensor;
}

/** Applies {@link linearAttentionGradientOp}. */
export function linearAttentionGradient(
  inputs: LinearAttentionGradientInputs,
  attributes: LinearAttentionAttributes,
): LinearAttentionGradients {
  const { q, k, v, decay, beta, starts, outputGradient, finalStateGradient } = inputs;
  const all = [q, k, v, decay, beta, starts, outputGradient, finalStateGradient];
  const [dq, dk, dv, ddecay, dbeta, ds0] = apply(linearAttentionGradientOp, all, attributes);
  if (!dq || !dk || !dv || !ddecay || !dbeta || !ds0) throw new GraphError("linear_attention_gradient has no outputs");
  return { q: dq, k: dk, v: dv, decay: ddecay, beta: dbeta, initialState: ds0 };
}
