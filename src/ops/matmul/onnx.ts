// matmul in ONNX: MatMul; products with weights are formats/onnx/weights.ts.
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import type { MatmulAttributes } from "./op.ts";

/** x with its last two axes exchanged. */
function exchanged(x: Value, rank: number, emit: OnnxEmitter): Value {
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
  return emit.node("Transpose", [x], { attributes: { perm } });
}

export const toOnnx: OnnxLowering<MatmulAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const a = present(tensors[0], "a");
  const b = present(tensors[1], "b");
  const left = attributes.transposeA
    ? exchanged(present(inputs[0], "a"), a.shape.length, emit)
    : present(inputs[0], "a");
  if (attributes.transposeB && !attributes.transposeA) {
    const y = emit.weights.product(left, a.shape, b);
    if (y !== undefined) return [withBias(y, inputs[2], emit)];
  }
  const matrix = present(inputs[1], "b");
  const right = attributes.transposeB ? exchanged(matrix, b.shape.length, emit) : matrix;
  return [withBias(emit.node("MatMul", [left, right]), inputs[2], emit)];
};

const withBias = (y: Value, bias: Value | undefined, emit: OnnxEmitter): Value =>
  bias === undefined ? y : emit.node("Add", [y, bias]);
