// reduce in ONNX.
import { type Reduction, reduceOver } from "../../formats/onnx/forms/reduce.ts";
import type { OnnxLowering } from "../../formats/onnx/lowering.ts";
import type { ReduceAttributes } from "./op.ts";

const operators: { readonly [F in ReduceAttributes["fn"]]: Reduction } = {
  sum: "ReduceSum",
  mean: "ReduceMean",
  max: "ReduceMax",
  sum_squares: "ReduceSumSquare",
};

export const toOnnx: OnnxLowering<ReduceAttributes> = ({ inputs, attributes: { fn, axes, keepDims } }, emit) => [
  reduceOver(operators[fn], inputs[0], axes, keepDims, emit),
];
