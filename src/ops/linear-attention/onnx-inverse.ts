// The inverse of lower triangular matrices with ones on the diagonal, as products: blocks of twice the size from blocks, which
// rounds as substitution row by row does. (The shorter product of 1 − N, 1 + N², 1 + N⁴ … cancels where keys are alike.)
import { arithmetic } from "../../formats/onnx/forms/arithmetic.ts";
import { cast } from "../../formats/onnx/forms/cast.ts";
import type { OnnxEmitter, Value } from "../../formats/onnx/lowering.ts";

/**
 * (1 + N)⁻¹, where N is what is below the diagonals of `matrices` [.., n, n], and n, int64 [1], at most `largest`, a power of 2.
 * With blocks of b solved, [[A, 0], [C, B]]⁻¹ = [[A⁻¹, 0], [−B⁻¹ C A⁻¹, B⁻¹]] solves those of 2b.
 */
export function inverseOfUnitLower(matrices: Value, n: Value, largest: number, emit: OnnxEmitter): Value {
  const { sub, mul, matMul } = arithmetic(emit);
  let solved: Value | undefined;
  for (let block = 1; block < largest; block *= 2) {
    const below = mul(matrices, betweenBlocks(n, block, emit));
    solved = solved === undefined ? sub(identity(n, emit), below) : sub(solved, matMul(matMul(solved, below), solved));
  }
  return solved ?? identity(n, emit);
}

/** Places 0 … n − 1 as a column divided by `block`, and as a row. */
function blocks(n: Value, block: number, emit: OnnxEmitter): readonly [Value, Value] {
  const { div, squeeze, unsqueeze } = arithmetic(emit);
  const places = emit.once(`places ${n}`, () => emit.node("Range", [emit.integer(0), squeeze(n, 0), emit.integer(1)]));
  const of = block === 1 ? places : emit.once(`blocks ${block} ${n}`, () => div(places, emit.integers([block])));
  return [unsqueeze(of, 1), unsqueeze(of, 0)];
}

const identity = (n: Value, emit: OnnxEmitter): Value =>
  emit.once(`identity of ${n}`, () => cast(emit.node("Equal", [...blocks(n, 1, emit)]), "f32", emit));

/** 1 where row and column are in neighbouring blocks that one of twice the size joins, the row in the second; f32 [n, n]. */
const betweenBlocks = (n: Value, block: number, emit: OnnxEmitter): Value =>
  emit.once(`between blocks of ${block} ${n}`, () => {
    const joined = emit.node("Equal", [...blocks(n, 2 * block, emit)]);
    const later = emit.node("Greater", [...blocks(n, block, emit)]);
    return cast(emit.node("And", [joined, later]), "f32", emit);
  });
