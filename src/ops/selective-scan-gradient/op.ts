// selective_scan_gradient: the backward pass of selective_scan.
import { formatShape, GraphError, sameShape } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { checkSelectiveScan, type SelectiveScanAttributes } from "../selective-scan/op.ts";

/**
 * Inputs u, delta, A, B, C, D?, z?, delta_bias?, starts, dy?, dhT?; outputs du, ddelta, dA, dB, dC, dD, dz, ddelta_bias,
 * dh0, whether or not the forward pass had all of these inputs (outputs nobody uses are not computed).
 */
export const selectiveScanGradientOp: OpDefinition<SelectiveScanAttributes> = {
  name: "selective_scan_gradient",
  infer: (inputs) => {
    const op = "selective_scan_gradient";
    const s = checkSelectiveScan(op, inputs.slice(0, 8));
    const [starts, dy, dhT] = inputs.slice(8);
    const given = [
      ["starts", starts, s.starts],
      ["dy", dy, s.sequence],
      ["dhT", dhT, s.state],
    ] as const;
    for (const [name, tensor, shape] of given) {
      if (tensor !== undefined && !sameShape(tensor.shape, shape)) {
        throw new GraphError(`${op}: ${name} ${formatShape(tensor.shape)} is not ${formatShape(shape)}`);
      }
    }
    if (starts === undefined) throw new GraphError(`${op}: starts is missing`);
    return [
      s.sequence,
      s.sequence,
      s.rates,
      s.projections,
      s.projections,
      s.channels,
      s.sequence,
      s.channels,
      s.state,
    ].map((shape) => ({ shape, dtype: "f32" }));
  },
  // Per state: the forward pass again, then adjoint, five products summed and the carried adjoint.
  flops: ([u, , a]) => {
    const [batch = 0, tokens = 0, channels = 0] = u?.shape ?? [];
    return batch * tokens * channels * (23 * (a?.shape[1] ?? 0) + 40);
  },
};

/**
 * With h_t, Δ_t as in {@link selectiveScan}, e = dy · silu(z), a_t = exp(Δ_t A) and the adjoint of the state
 *
 *     g_t = C_t · e_t + a_{t+1} · g_{t+1},   g_{T-1} = C_{T-1} · e_{T-1} + dhT
 *
 * the gradients are, sums over states n (over channels for B and C, over tokens for A, D, delta_bias) understood,
 *
 *     du = Δ g B + D e,   dΔ = u g B + A a g h_{t-1},   dA = Δ a g h_{t-1},   dB = Δ u g,   dC = e h_t,
 *     dD = e u,   dz = dy · (C·h + D u) · silu'(z),   dh0 = a_0 g_0
 *
 * and ddelta = ddelta_bias = dΔ · softplus'. The states are computed again from `starts`, chunk by chunk. Returns
 * [du, ddelta, dA, dB, dC, dD, dz, ddelta_bias, dh0].
 */
export function selectiveScanGradient(
  inputs: readonly (Tensor | undefined)[],
  starts: Tensor,
  outputGradient: Tensor | undefined,
  finalStateGradient: Tensor | undefined,
  attributes: SelectiveScanAttributes,
): readonly Tensor[] {
  const optional = Array.from({ length: 8 }, (_, i) => inputs[i]);
  return apply(selectiveScanGradientOp, [...optional, starts, outputGradient, finalStateGradient], attributes);
}
