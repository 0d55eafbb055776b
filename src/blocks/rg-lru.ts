// The recurrent block of Griffin (De et al. 2024, arXiv 2402.19427, figure 2c): a short convolution and a real-gated linear
// recurrent unit, beside a gate.
import { input, literal, mul as multiply, sigmoid, softplus } from "../graph/expression.ts";
import type { Tensor } from "../graph/types.ts";
import { concat } from "../ops/concat/op.ts";
import { map } from "../ops/map/op.ts";
import { rgLru as rgLruOp } from "../ops/rg-lru/op.ts";
import { slice } from "../ops/slice/op.ts";
import type { RgLruSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { applyGate, convolve, project, projectOut } from "./projections.ts";

/** How much faster than a_param alone the state fades with the recurrence gate open: c of equation 3. */
const SHARPNESS = 8;

/** x [B, T, width] → [B, T, d_model]. States: conv [B, d_conv - 1, d_inner], lru [B, d_inner]. */
export function rgLru(x: Tensor, spec: RgLruSpec, context: BlockContext): Tensor {
  const { d_inner, n_heads, bias } = spec;
  const gate = project(x, "g_proj", d_inner, context, bias);
  const u = convolve(
    project(x, "x_proj", d_inner, context, bias),
    "conv",
    spec.d_conv,
    context,
    spec.conv_bias,
    "none",
  );
  const size = d_inner / n_heads;
  const blockDiagonal = (name: string): Tensor => {
    const blocks = Array.from({ length: n_heads }, (_, head) =>
      project(slice(u, 2, head * size, size), `${name}.${head}`, size, context, true),
    );
    return concat(blocks, 2);
  };
  const driven = map([u, blockDiagonal("input_gate")], multiply(input(0), sigmoid(input(1))));
  // A state that nothing gates keeps 0.9 to 0.999 of itself a token before the sharpening.
  const rate = context.parameter(
    "a_param",
    [d_inner],
    { kind: "inverse_softplus_log_uniform", low: -Math.log(0.999), high: -Math.log(0.9), floor: 0 },
    { decay: false },
  );
  const logA = map(
    [blockDiagonal("recurrence_gate"), rate],
    multiply(multiply(literal(-SHARPNESS), sigmoid(input(0))), softplus(input(1))),
  );
  const { output, finalState } = rgLruOp(driven, logA, {
    position: context.position,
    initialState: context.state("lru", ["B", d_inner]),
  });
  context.next("lru", finalState);
  return projectOut(applyGate(output, gate, spec.activation), "out_proj", context, bias);
}
