// Launch of expert_matmul_gradient (kernels/expert_matmul): both operands collected by expert, then a product for each.
import { sizeOf } from "../../graph/shape.ts";
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { collectRows } from "../expert-matmul/wasm.ts";
import { productScratch } from "../matmul/wasm.ts";
import { required } from "../types.ts";
import type { ExpertMatmulGradientAttributes } from "./op.ts";

export const lower: WasmLowering<ExpertMatmulGradientAttributes> = ({ inputs, outputs }, emit) => {
  const x = required(inputs[0], "x");
  const dy = required(inputs[1], "dy");
  const order = required(inputs[3], "order");
  const starts = required(inputs[4], "starts");
  const [n, k] = [dy.shape.at(-1) ?? 1, x.shape.at(-1) ?? 1];
  const collected = [collectRows(x, order, emit), collectRows(dy, order, emit)];
  const stride = productScratch({ n: k, k: sizeOf(order.shape), transposeA: true });
  const scratch = emit.scratch(stride * emit.threads);
  const experts = sizeOf(starts.shape) - 1;
  emit.command("expert_matmul_gradient", [...collected, starts, outputs[0], scratch, stride, experts, n, k]);
};
