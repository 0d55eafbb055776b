// Launch of top_k_gradient (kernels/top_k).
import { sizeOf } from "../../graph/shape.ts";
import { float, type WasmLowering } from "../../runtime/wasm/lowering.ts";
import type { TopKAttributes } from "../top-k/op.ts";
import { required } from "../types.ts";

export const lower: WasmLowering<TopKAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const logits = required(inputs[0], "logits");
  const { k, score, normalize, normalizeEps, scale } = attributes;
  const experts = logits.shape.at(-1) ?? 1;
  emit.command("top_k_gradient", [
    ...[logits, inputs[1], inputs[2], outputs[0], emit.scratch(4 * experts * emit.threads), 4 * experts],
    ...[sizeOf(logits.shape) / experts, experts, k, score === "sigmoid" ? 1 : 0, normalize ? 1 : 0],
    ...[float(normalizeEps), float(scale)],
  ]);
};
