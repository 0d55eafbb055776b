// Launch of matmul_gradient: the product xᵀ · dy, or dyᵀ · x for a weight stored as [N, K], by kernel `matmul`.
import { sizeOf } from "../../graph/shape.ts";
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { emitProduct } from "../matmul/wasm.ts";
import { required } from "../types.ts";
import type { MatmulGradientAttributes } from "./op.ts";

export const lower: WasmLowering<MatmulGradientAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const x = required(inputs[0], "matmul_gradient x");
  const dy = required(inputs[1], "matmul_gradient dy");
  const [a, b] = attributes.transposeB ? [dy, x] : [x, dy];
  emitProduct(
    {
      a,
      b,
      bias: undefined,
      out: outputs[0],
      batch: 1,
      m: a.shape.at(-1) ?? 1,
      n: b.shape.at(-1) ?? 1,
      k: sizeOf(x.shape.slice(0, -1)),
      transposeA: true,
      transposeB: false,
      shared: true,
    },
    emit,
  );
};
