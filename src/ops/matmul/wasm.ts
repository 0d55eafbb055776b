// Launch of matmul (kernels/matmul): packed weights as they are; plain operands are packed block by block on the way.
import { sizeOf } from "../../graph/shape.ts";
import type { Emitter, Scratch, WasmLowering, WasmTensor, Word } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import { type MatmulAttributes, productSizes } from "./op.ts";

export interface PlainProduct {
  readonly a: WasmTensor;
  readonly b: WasmTensor | Scratch;
  readonly bias: WasmTensor | undefined;
  readonly out: WasmTensor | undefined;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** b is one matrix for the whole batch. */
  readonly shared: boolean;
}

/** Bytes that a thread needs for blocks of 512 × 512 of b and 512 × 96 of a transposed a (kernels/common/product.as.ts). */
export function productScratch({ n, k, transposeA }: Pick<PlainProduct, "n" | "k" | "transposeA">): number {
  const depth = Math.min(k, 512);
  return 4 * (depth * Math.min(16 * Math.ceil(n / 16), 512) + (transposeA ? (depth + 16) * 96 : 0));
}

/** Emits kernel `matmul`. */
export function emitProduct(product: PlainProduct, emit: Emitter): void {
  const { a, b, bias, out, batch, m, n, k, transposeA, transposeB, shared } = product;
  const scratchStride = productScratch(product);
  const words: Word[] = [a, b, bias, out, emit.scratch(scratchStride * emit.threads), batch, m, n, k];
  words.push(transposeA ? 1 : 0, transposeB ? 1 : 0, shared ? 0 : n * k, scratchStride);
  emit.command("matmul", words);
}

/**
 * A packed tensor [N, K] is the panels of its N rows (kernels/common/panels.as.ts), which multiply x · bᵀ as they are. For
 * the other product, the gradient with respect to x, the weight is unpacked into scratch.
 */
export const lower: WasmLowering<MatmulAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const a = required(inputs[0], "matmul a");
  const b = required(inputs[1], "matmul b");
  const [bias, out] = [inputs[2], outputs[0]];
  const { leading, m = 1, n, k, shared } = productSizes(a.shape, b.shape, attributes);
  const batch = sizeOf(leading);
  const { transposeA, transposeB } = attributes;
  const rows = shared && !transposeA ? { batch: 1, m: batch * m } : { batch, m };
  if (b.layout === "panels" && transposeB && !transposeA) {
    emit.command("matmul_panels", [a, b, bias, out, rows.m, n, k]);
    return;
  }
  let plain: WasmTensor | Scratch = b;
  if (b.layout === "panels") {
    plain = emit.scratch(4 * n * k);
    emit.command("unpack_panels", [b, plain, b.shape[0] ?? 1, b.shape[1] ?? 1, 1]);
  }
  emitProduct({ a, b: plain, bias, out, ...rows, n, k, shared, ...attributes }, emit);
};
