// The gated recurrent unit (Cho et al. 2014), the classical baseline; reset gate after the recurrent product, as in cuDNN.
import type { Tensor } from "../graph/types.ts";
import { gru } from "../ops/gru/op.ts";
import type { RnnSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { project, projectOut } from "./projections.ts";

/** x [B, T, d_model] → [B, T, d_model]. State: hidden [B, d_hidden]. Gates in the order r, z, n. */
export function rnn(x: Tensor, { d_hidden, bias }: RnnSpec, context: BlockContext): Tensor {
  const gates = project(x, "in_proj", 3 * d_hidden, context, bias);
  const bound = d_hidden ** -0.5;
  const weight = context.parameter("hidden_proj.weight", [3 * d_hidden, d_hidden], {
    kind: "uniform",
    low: -bound,
    high: bound,
  });
  const { output, finalState } = gru(gates, weight, {
    bias: bias ? context.bias("hidden_proj.bias", 3 * d_hidden) : undefined,
    initialState: context.state("hidden", ["B", d_hidden]),
  });
  context.next("hidden", finalState);
  return projectOut(output, "out_proj", context, bias);
}
