// Mamba-1 (Gu & Dao 2023, arXiv 2312.00752, figure 3): gated projection, short convolution, selective scan; with several heads
// as in Zamba (Glorioso et al. 2024, arXiv 2405.16712), whose step sizes, B and C follow from a head's own channels.
import { exp, neg } from "../graph/expression.ts";
import type { Tensor } from "../graph/types.ts";
import { concat } from "../ops/concat/op.ts";
import { pointwise } from "../ops/map/op.ts";
import { linear } from "../ops/matmul/op.ts";
import { selectiveScan } from "../ops/selective-scan/op.ts";
import { slice } from "../ops/slice/op.ts";
import type { MambaSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { applyNorm } from "./norm.ts";
import { applyGate, convolve, project, projectOut } from "./projections.ts";

/**
 * x [B, T, width] → [B, T, d_model]. States: conv [B, d_conv - 1, d_inner] and ssm [B, d_inner, d_state], the latter once for
 * each of several heads, as ssm_0 ….
 */
export function mamba(x: Tensor, spec: MambaSpec, context: BlockContext): Tensor {
  const { d_inner, d_state, n_heads, dt_min, dt_max, dt_init_floor } = spec;
  const z = project(x, "in_proj_z", d_inner, context, spec.bias);
  const u = convolve(
    project(x, "in_proj_x", d_inner, context, spec.bias),
    "conv",
    spec.d_conv,
    context,
    spec.conv_bias,
  );
  const A = context.parameter("A_log", [d_inner, d_state], { kind: "log_arange" }, { decay: false });
  const D = context.parameter("D", [d_inner], { kind: "ones" }, { decay: false });
  const deltaBias = context.parameter(
    "dt_proj.bias",
    [d_inner],
    { kind: "inverse_softplus_log_uniform", low: dt_min, high: dt_max, floor: dt_init_floor },
    { decay: false },
  );
  const rates = pointwise(A, (a) => neg(exp(a)));
  const size = d_inner / n_heads;
  const heads = Array.from({ length: n_heads }, (_, head) => {
    const part = (tensor: Tensor, axis: number): Tensor =>
      n_heads === 1 ? tensor : slice(tensor, axis, head * size, size);
    const channels = { u: part(u, 2), A: part(rates, 0), D: part(D, 0), deltaBias: part(deltaBias, 0) };
    return scan(channels, n_heads === 1 ? "" : String(head), spec, context);
  });
  const output = n_heads === 1 ? heads[0] : concat(heads, 2);
  return projectOut(applyGate(output ?? u, z, "silu"), "out_proj", context, spec.output_bias);
}

/** The scan over one head's channels; `head` is its number, empty where there is one. */
function scan(
  { u, A, D, deltaBias }: { readonly u: Tensor; readonly A: Tensor; readonly D: Tensor; readonly deltaBias: Tensor },
  head: string,
  { d_inner, d_state, dt_rank, n_heads, inner_norm }: MambaSpec,
  context: BlockContext,
): Tensor {
  const size = d_inner / n_heads;
  const own = (name: string): string => (head === "" ? name : `${name}.${head}`);
  const dt = applyNorm(project(u, own("x_proj_dt"), dt_rank, context), inner_norm, "dt_norm", context);
  const B = applyNorm(project(u, own("x_proj_B"), d_state, context), inner_norm, "B_norm", context);
  const C = applyNorm(project(u, own("x_proj_C"), d_state, context), inner_norm, "C_norm", context);
  const bound = dt_rank ** -0.5;
  const dtWeight = context.parameter(`${own("dt_proj")}.weight`, [size, dt_rank], {
    kind: "uniform",
    low: -bound,
    high: bound,
  });
  const state = head === "" ? "ssm" : `ssm_${head}`;
  const { output, finalState } = selectiveScan(u, linear(dt, dtWeight), A, B, C, {
    D,
    deltaBias,
    initialState: context.state(state, ["B", size, d_state]),
  });
  context.next(state, finalState);
  return output;
}
