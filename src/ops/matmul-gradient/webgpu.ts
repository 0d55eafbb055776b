// Dispatch of matmul_gradient: the product xᵀ · dy, or dyᵀ · x for a weight stored as [N, K], by the kernels of matmul.
import { sizeOf } from "../../graph/shape.ts";
import type { GpuLowering } from "../../runtime/webgpu/lowering.ts";
import { emitProduct } from "../matmul/webgpu.ts";
import { required } from "../types.ts";
import type { MatmulGradientAttributes } from "./op.ts";

export const lower: GpuLowering<MatmulGradientAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const x = required(inputs[0], "matmul_gradient x");
  const dy = required(inputs[1], "matmul_gradient dy");
  const [a, b] = attributes.transposeB ? [dy, x] : [x, dy];
  emitProduct(
    {
      a,
      b,
      bias: undefined,
      out: required(outputs[0], "matmul_gradient output"),
      batch: 1,
      m: a.shape.at(-1) ?? 1,
      n: b.shape.at(-1) ?? 1,
      k: sizeOf(x.shape.slice(0, -1)),
      transposeA: true,
      transposeB: false,
    },
    emit,
  );
};
