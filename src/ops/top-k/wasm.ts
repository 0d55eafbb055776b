// Launch of top_k (kernels/top_k).
import { sizeOf } from "../../graph/shape.ts";
import { float, type WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { TopKAttributes } from "./op.ts";

export const lower: WasmLowering<TopKAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const logits = required(inputs[0], "logits");
  const { k, score, normalize, normalizeEps, scale, groups, topGroups } = attributes;
  const experts = logits.shape.at(-1) ?? 1;
  const stride = 4 * (2 * experts + groups + k);
  emit.command("top_k", [
    ...[logits, inputs[1], outputs[0], outputs[1], emit.scratch(stride * emit.threads), stride],
    ...[sizeOf(logits.shape) / experts, experts, k, score === "sigmoid" ? 1 : 0, normalize ? 1 : 0],
    ...[float(normalizeEps), float(scale), groups, topGroups],
  ]);
};
