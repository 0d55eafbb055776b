// Mamba-1 (Gu & Dao 2023, arXiv 2312.00752, figure 3): gated projection, short convolution, selective scan.
import { exp, neg } from "../graph/expression.ts";
import type { Tensor } from "../graph/types.ts";
import { pointwise } from "../ops/map/op.ts";
import { linear } from "../ops/matmul/op.ts";
import { selectiveScan } from "../ops/selective-scan/op.ts";
import type { MambaSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { applyNorm } from "./norm.ts";
import { applyGate, convolve, project, projectOut } from "./projections.ts";

/** x [B, T, d_model] → [B, T, d_model]. States: conv [B, d_conv - 1, d_inner], ssm [B, d_inner, d_state]. */
export function mamba(x: Tensor, spec: MambaSpec, context: BlockContext): Tensor {
  const { d_inner, d_state, dt_rank, inner_norm, dt_min, dt_max, dt_init_floor } = spec;
  const z = project(x, "in_proj_z", d_inner, context, spec.bias);
  const u = convolve(
    project(x, "in_proj_x", d_inner, context, spec.bias),
    "conv",
    spec.d_conv,
    context,
    spec.conv_bias,
  );
  const dt = applyNorm(project(u, "x_proj_dt", dt_rank, context), inner_norm, "dt_norm", context);
  const B = applyNorm(project(u, "x_proj_B", d_state, context), inner_norm, "B_norm", context);
  const C = applyNorm(project(u, "x_proj_C", d_state, context), inner_norm, "C_norm", context);
  const bound = dt_rank ** -0.5;
  const dtWeight = context.parameter("dt_proj.weight", [d_inner, dt_rank], {
    kind: "uniform",
    low: -bound,
    high: bound,
  });
  const dtBias = context.parameter(
    "dt_proj.bias",
    [d_inner],
    { kind: "inverse_softplus_log_uniform", low: dt_min, high: dt_max, floor: dt_init_floor },
    { decay: false },
  );
  const A = context.parameter("A_log", [d_inner, d_state], { kind: "log_arange" }, { decay: false });
  const D = context.parameter("D", [d_inner], { kind: "ones" }, { decay: false });
  const { output, finalState } = selectiveScan(
    u,
    linear(dt, dtWeight),
    pointwise(A, (a) => neg(exp(a))),
    B,
    C,
    {
      D,
      deltaBias: dtBias,
      initialState: context.state("ssm", ["B", d_inner, d_state]),
    },
  );
  context.next("ssm", finalState);
  return projectOut(applyGate(output, z, "silu"), "out_proj", context, spec.bias);
}
