// Launch of expert_matmul (kernels/expert_matmul): the rows of one token each by themselves, those of many collected by expert.
import { sizeOf } from "../../graph/shape.ts";
import type { Emitter, Scratch, WasmLowering, WasmTensor } from "../../runtime/wasm/lowering.ts";
import { productScratch } from "../matmul/wasm.ts";
import { required } from "../types.ts";
import { type ExpertMatmulAttributes, rowsPerInput } from "./op.ts";

/** Rows of x sorted by expert, contiguous. */
export function collectRows(x: WasmTensor, order: WasmTensor, emit: Emitter): Scratch {
  const rows = sizeOf(order.shape);
  const width = x.shape.at(-1) ?? 1;
  const collected = emit.scratch(4 * rows * width);
  emit.command("collect_rows", [x, order, collected, rows, width, rowsPerInput(x, order)]);
  return collected;
}

export const lower: WasmLowering<ExpertMatmulAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const x = required(inputs[0], "x");
  const weight = required(inputs[1], "weight");
  const indices = required(inputs[2], "indices");
  const order = required(inputs[3], "order");
  const [experts = 1, n = 1, k = 1] = weight.shape;
  const { transposed } = attributes;
  const [columns, depth] = transposed ? [k, n] : [n, k];
  const rows = sizeOf(indices.shape);
  const packed = weight.layout === "panels";
  // The experts of one token differ: there is nothing to collect.
  if (packed && !transposed && sizeOf(indices.shape.slice(0, -1)) === 1) {
    const per = rowsPerInput(x, indices);
    emit.command("expert_rows_panels", [x, weight, indices, outputs[0], rows, per, experts, columns, depth]);
    return;
  }
  const collected = collectRows(x, order, emit);
  const products = emit.scratch(4 * rows * columns);
  if (packed && !transposed) {
    emit.command("expert_matmul_panels", [collected, weight, inputs[4], products, experts, columns, depth]);
  } else {
    let plain: WasmTensor | Scratch = weight;
    if (packed) {
      plain = emit.scratch(4 * sizeOf(weight.shape));
      emit.command("unpack_panels", [weight, plain, experts * n, k, 1]);
    }
    const stride = productScratch({ n: columns, k: depth, transposeA: false });
    const scratch = emit.scratch(stride * emit.threads);
    const sizes = [stride, experts, columns, depth, transposed ? 1 : 0];
    emit.command("expert_matmul", [collected, plain, inputs[4], products, scratch, ...sizes]);
  }
  emit.command("return_rows", [products, order, outputs[0], rows, columns]);
};
