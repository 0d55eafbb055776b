// expert_matmul in ONNX: for each expert a product of the rows that chose it, which may be none; the results are put back in the
// places of their rows. Work is what the chosen experts cost. Each expert's matrix is stored on its own, transposed.
import { type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import { rowsOf } from "../group-rows/onnx.ts";
import type { ExpertMatmulAttributes } from "./op.ts";

export const toOnnx: OnnxLowering<ExpertMatmulAttributes> = ({ tensors, inputs, outputs, attributes }, emit) => {
  const [x, weight, indices] = [
    present(tensors[0], "x"),
    present(tensors[1], "weight"),
    present(tensors[2], "indices"),
  ];
  const y = present(outputs[0], "y");
  const chosen = present(inputs[2], "indices");
  const experts = fixedDimAt(weight.shape, 0);
  const rows = emit.node("Reshape", [present(inputs[0], "x"), emit.integers([-1, fixedDimAt(x.shape, -1)])]);
  // A row of x is that of a token, which each of its choices reads, or that of a choice.
  const choices = x.shape.length < indices.shape.length + 1 ? fixedDimAt(indices.shape, -1) : 1;
  let split: readonly Value[] | undefined;
  /** Every expert's matrix, where they are not stored one by one. */
  const parts = (): readonly Value[] => {
    const ones = new Array<number>(experts).fill(1);
    split ??= emit.nodes("Split", [inputs[1], emit.integers(ones)], experts, { attributes: { axis: 0 } });
    return split;
  };
  const times = (taken: Value, expert: number): Value => {
    const stored = attributes.transposed
      ? undefined
      : emit.weights.product(taken, ["T", fixedDimAt(x.shape, -1)], weight, expert);
    if (stored !== undefined) return stored;
    const matrix = emit.node("Squeeze", [parts()[expert], emit.integers([0])]);
    const right = attributes.transposed ? matrix : emit.node("Transpose", [matrix], { attributes: { perm: [1, 0] } });
    return emit.node("MatMul", [taken, right]);
  };
  const products = Array.from({ length: experts }, (_, expert) => {
    const list = rowsOf(chosen, expert, emit);
    const from =
      choices === 1
        ? list
        : emit.once(`tokens ${chosen} ${expert}`, () => emit.node("Div", [list, emit.integer(choices)]));
    const taken = emit.node("Gather", [rows, from], { attributes: { axis: 0 } });
    return times(taken, expert);
  });
  const results = emit.node("Concat", products, { attributes: { axis: 0 } });
  const order = emit.node("Reshape", [present(inputs[3], "order"), emit.integers([-1, 1])]);
  // Every row is in exactly one list, so that what the places hold before is all overwritten.
  const scattered = emit.node("ScatterND", [results, order, results]);
  return [emit.node("Reshape", [scattered, emit.sizes(y.shape)])];
};
