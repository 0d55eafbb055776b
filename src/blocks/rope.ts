// Rotary positions of a spec as graph ops.
import { constant } from "../graph/leaves.ts";
import type { Tensor } from "../graph/types.ts";
import { rope } from "../ops/rope/op.ts";
import { ropeFrequencies } from "../spec/rope.ts";
import type { RopeSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";

/** Rotates heads [B, T, H, d] by their positions; null leaves them as they are. */
export function applyRope(x: Tensor, spec: RopeSpec | null, context: BlockContext): Tensor {
  if (spec === null) return x;
  const { frequencies, attentionScaling } = ropeFrequencies(spec);
  return rope(x, constant(Array.from(frequencies)), { positions: context.position, attentionScaling });
}
