// matmul in ONNX: MatMul. Weights [out, in] that only products read are stored transposed; a table that an embedding reads
// as well is stored once, and Gemm reads it transposed.
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import type { Tensor } from "../../graph/types.ts";
import type { MatmulAttributes } from "./op.ts";

/** x with its last two axes exchanged. */
function exchanged(x: Value, rank: number, emit: OnnxEmitter): Value {
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
  return emit.node("Transpose", [x], { attributes: { perm } });
}

export const toOnnx: OnnxLowering<MatmulAttributes> = ({ tensors, inputs, outputs, attributes }, emit) => {
  const a = present(tensors[0], "a");
  const b = present(tensors[1], "b");
  const y = present(outputs[0], "y");
  const left = attributes.transposeA
    ? exchanged(present(inputs[0], "a"), a.shape.length, emit)
    : present(inputs[0], "a");
  const matrix = present(inputs[1], "b");
  if (!attributes.transposeB) return [withBias(emit.node("MatMul", [left, matrix]), inputs[2], emit)];
  const stored = emit.transposedParameter(b);
  if (stored !== undefined) return [withBias(emit.node("MatMul", [left, stored]), inputs[2], emit)];
  if (b.shape.length === 2 && !attributes.transposeA) return [gemm(left, matrix, inputs[2], a, b, y, emit)];
  return [withBias(emit.node("MatMul", [left, exchanged(matrix, b.shape.length, emit)]), inputs[2], emit)];
};

const withBias = (y: Value, bias: Value | undefined, emit: OnnxEmitter): Value =>
  bias === undefined ? y : emit.node("Add", [y, bias]);

/** Gemm takes matrices only: every leading index of a is a row. */
function gemm(
  x: Value,
  matrix: Value,
  bias: Value | undefined,
  a: Tensor,
  b: Tensor,
  y: Tensor,
  emit: OnnxEmitter,
): Value {
  const [, depth = 0] = b.shape;
  const rows = a.shape.length === 2 ? x : emit.node("Reshape", [x, emit.integers([-1, Number(depth)])]);
  const product = emit.node("Gemm", [rows, matrix, bias], { attributes: { transB: 1 } });
  return a.shape.length === 2 ? product : emit.node("Reshape", [product, emit.sizes(y.shape)]);
}
