// The feed-forward network: plain, gated (Shazeer 2020, "GLU variants improve transformer"), or with token shift and a gate on
// its result (the channel mixing of RWKV, Peng et al. 2023, arXiv 2305.13048, section 3.1.3).
import type { Tensor } from "../graph/types.ts";
import { mul, scale } from "../ops/map/op.ts";
import type { LinearSpec, MlpSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { activate, applyGate, project, projectOut, shiftTokens } from "./projections.ts";

/** x [B, T, width] → [B, T, d_model]. State with token shift: shift [B, 1, width]. */
export function mlp(x: Tensor, spec: MlpSpec, context: BlockContext): Tensor {
  const { d_ff, activation, gated, bias, output_gate } = spec;
  const names = ["up_proj", ...(gated ? ["gate_proj"] : []), ...(output_gate === "none" ? [] : ["g_proj"])];
  const shifted = spec.token_shift ? shiftTokens(x, names, context) : names.map(() => x);
  const projected = (name: string, size: number): Tensor =>
    project(shifted[names.indexOf(name)] ?? x, name, size, context, bias);
  const up = projected("up_proj", d_ff);
  const hidden = gated
    ? mul(activate(scale(projected("gate_proj", d_ff), spec.gate_scale), activation), up)
    : activate(up, activation);
  const gate = output_gate === "none" ? undefined : projected("g_proj", context.width);
  return applyGate(projectOut(hidden, "down_proj", context, bias), gate, output_gate);
}

/** x [B, T, width] → [B, T, d_model]. */
export function linear(x: Tensor, { bias }: LinearSpec, context: BlockContext): Tensor {
  return projectOut(x, "proj", context, bias);
}
