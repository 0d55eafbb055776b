// reduce in ONNX. Of the reductions of opset 17 only ReduceSum takes its axes as an input.
import type { OnnxLowering } from "../../formats/onnx/lowering.ts";
import type { ReduceAttributes } from "./op.ts";

const operators: { readonly [F in ReduceAttributes["fn"]]: string } = {
  sum: "ReduceSum",
  mean: "ReduceMean",
  max: "ReduceMax",
  sum_squares: "ReduceSumSquare",
};

export const toOnnx: OnnxLowering<ReduceAttributes> = ({ inputs, attributes: { fn, axes, keepDims } }, emit) => {
  const keepdims = keepDims ? 1 : 0;
  if (fn === "sum") return [emit.node("ReduceSum", [inputs[0], emit.integers(axes)], { attributes: { keepdims } })];
  return [emit.node(operators[fn], inputs, { attributes: { keepdims, axes } })];
};
