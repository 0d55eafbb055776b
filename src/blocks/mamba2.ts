// Mamba-2 (Dao & Gu 2024, arXiv 2405.21060): the SSM with one decay per head is gated linear attention with C as query,
// B as key and Δ·x as value.
import {
  add,
  call,
  type Expression,
  exp,
  input,
  literal,
  mul as multiply,
  neg,
  softplus,
} from "../graph/expression.ts";
import type { Tensor } from "../graph/types.ts";
import { linearAttention } from "../ops/linear-attention/op.ts";
import { map, mul, scale } from "../ops/map/op.ts";
import { reshape } from "../ops/reshape/op.ts";
import { rmsNorm } from "../ops/rms-norm/op.ts";
import type { Mamba2Spec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { applyGate, convolve, joinHeads, project, projectOut, splitHeads } from "./projections.ts";

/**
 * x [B, T, d_model] → [B, T, d_model]. States: conv_x, conv_B, conv_C [B, d_conv - 1, channels] and
 * ssm [B, n_heads, d_state, head_dim].
 */
export function mamba2(x: Tensor, spec: Mamba2Spec, context: BlockContext): Tensor {
  const { n_heads, head_dim, d_inner, d_state, n_groups, d_conv } = spec;
  const part = (name: keyof Mamba2Spec["in_proj_scale"], size: number): Tensor =>
    scale(project(x, `in_proj_${name}`, size, context, spec.bias), spec.in_proj_scale[name]);
  const branch = (name: "x" | "B" | "C", size: number): Tensor =>
    convolve(part(name, size), `conv_${name}`, d_conv, context, spec.conv_bias);
  const z = part("z", d_inner);
  const u = splitHeads(branch("x", d_inner), n_heads);
  const B = splitHeads(branch("B", n_groups * d_state), n_groups);
  const C = splitHeads(branch("C", n_groups * d_state), n_groups);
  const dt = part("dt", n_heads);
  const dtBias = context.parameter(
    "dt_bias",
    [n_heads],
    { kind: "inverse_softplus_log_uniform", low: spec.dt_min, high: spec.dt_max, floor: spec.dt_init_floor },
    { decay: false },
  );
  const [low, high] = spec.A_init_range;
  const A = context.parameter("A_log", [n_heads], { kind: "log_uniform_values", low, high }, { decay: false });
  const D = context.parameter("D", spec.D_has_hdim ? [d_inner] : [n_heads], { kind: "ones" }, { decay: false });

  const delta = map([dt, dtBias], clamp(softplus(add(input(0), input(1))), spec.dt_limit));
  const decay = map([delta, A], neg(multiply(input(0), exp(input(1)))));
  const value = mul(u, reshape(delta, ["B", "T", n_heads, 1]));
  const { output, finalState } = linearAttention("gated", C, B, value, {
    decay,
    initialState: context.state("ssm", ["B", n_heads, d_state, head_dim]),
    scale: 1,
  });
  context.next("ssm", finalState);
  const skip = reshape(D, spec.D_has_hdim ? [n_heads, head_dim] : [n_heads, 1]);
  const y = joinHeads(map([output, u, skip], add(input(0), multiply(input(1), input(2)))));
  return projectOut(gatedNorm(y, z, spec, context), "out_proj", context, spec.output_bias);
}

function clamp(x: Expression, [low, high]: readonly [number, number]): Expression {
  const atLeast = low > 0 ? call("max", x, literal(low)) : x;
  return Number.isFinite(high) ? call("min", atLeast, literal(high)) : atLeast;
}

function gatedNorm(y: Tensor, z: Tensor, { gated_norm, d_inner }: Mamba2Spec, context: BlockContext): Tensor {
  if (gated_norm === null) return applyGate(y, z, "silu");
  const weight = context.parameter("norm.weight", [d_inner], { kind: "ones" }, { decay: false });
  const { eps, groups, order } = gated_norm;
  return order === "norm_then_gate"
    ? applyGate(rmsNorm(y, { eps, groups, weight }), z, "silu")
    : rmsNorm(applyGate(y, z, "silu"), { eps, groups, weight });
}
