// The feed-forward network: plain, or gated (Shazeer 2020, "GLU variants improve transformer").
import { input, mul } from "../graph/expression.ts";
import type { Tensor } from "../graph/types.ts";
import { map } from "../ops/map/op.ts";
import type { MlpSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { activate, project, projectOut } from "./projections.ts";

/** x [B, T, d_model] → [B, T, d_model]. */
export function mlp(x: Tensor, { d_ff, activation, gated, bias }: MlpSpec, context: BlockContext): Tensor {
  const up = project(x, "up_proj", d_ff, context, bias);
  const hidden = gated
    ? map([activate(project(x, "gate_proj", d_ff, context, bias), activation), up], mul(input(0), input(1)))
    : activate(up, activation);
  return projectOut(hidden, "down_proj", context, bias);
}
