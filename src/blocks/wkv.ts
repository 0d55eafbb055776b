// The time mixing of RWKV-4 (Peng et al. 2023, arXiv 2305.13048, section 3.1.2).
import { exp, neg } from "../graph/expression.ts";
import type { Tensor } from "../graph/types.ts";
import { pointwise } from "../ops/map/op.ts";
import { wkv as wkvOp } from "../ops/wkv/op.ts";
import type { WkvSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { applyGate, project, projectOut, shiftTokens } from "./projections.ts";

const NAMES = ["k_proj", "v_proj", "r_proj"] as const;

/** x [B, T, width] → [B, T, d_model]. States: shift [B, 1, width], wkv [B, 3, d_inner]. */
export function wkv(x: Tensor, { d_inner, token_shift }: WkvSpec, context: BlockContext): Tensor {
  const sources = token_shift ? shiftTokens(x, NAMES, context) : [];
  const projected = (name: (typeof NAMES)[number]): Tensor =>
    project(sources[NAMES.indexOf(name)] ?? x, name, d_inner, context);
  const noDecay = { decay: false };
  // Slow to fast: e^-e^-5 of a weight is left after a token, or e^-e^3.
  const fade = context.parameter("time_decay", [d_inner], { kind: "uniform", low: -5, high: 3 }, noDecay);
  const bonus = context.parameter("time_first", [d_inner], { kind: "constant", value: Math.log(0.3) }, noDecay);
  const { output, finalState } = wkvOp(
    projected("k_proj"),
    projected("v_proj"),
    pointwise(fade, (f) => neg(exp(f))),
    bonus,
    context.state("wkv", ["B", 3, d_inner]),
  );
  context.next("wkv", finalState);
  return projectOut(applyGate(output, projected("r_proj"), "sigmoid"), "out_proj", context);
}
