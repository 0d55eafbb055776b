// top_k in ONNX: Softmax or Sigmoid, a mask where only some groups are open, and TopK, which of equals takes the lower index.
import { cast } from "../../formats/onnx/forms/cast.ts";
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { fixedDimAt, type Shape } from "../../graph/shape.ts";
import type { TopKAttributes } from "./op.ts";

/** Less than any score and bias together, so that a closed expert is never chosen. */
const NEVER = -1e30;

const largest = (x: Value, k: number, emit: OnnxEmitter): string[] =>
  emit.nodes("TopK", [x, emit.integers([k])], 2, { attributes: { axis: -1 } });

const sum = (x: Value | undefined, keepdims: 0 | 1, emit: OnnxEmitter): Value =>
  emit.node("ReduceSum", [x, emit.integers([-1])], { attributes: { keepdims } });

/** Scores of which those outside the best groups are NEVER. A group is as good as its two best experts together. */
function open(choice: Value, shape: Shape, { groups, topGroups }: TopKAttributes, emit: OnnxEmitter): Value {
  const width = fixedDimAt(shape, -1) / groups;
  const split: Shape = [...shape.slice(0, -1), groups, width];
  const members = emit.reshape(choice, shape, split);
  const totals = sum(largest(members, Math.min(2, width), emit)[0], 0, emit);
  const [, best] = largest(totals, topGroups, emit);
  const ones = emit.node("Expand", [emit.floats([1]), emit.sizes([...shape.slice(0, -1), topGroups])]);
  const none = emit.node("Mul", [totals, emit.floats([0])]);
  const marks = emit.node("ScatterElements", [none, best, ones], { attributes: { axis: -1 } });
  const isOpen = cast(emit.node("Unsqueeze", [marks, emit.integers([-1])]), "bool", emit);
  return emit.reshape(emit.node("Where", [isOpen, members, emit.floats([NEVER])]), split, shape);
}

export const toOnnx: OnnxLowering<TopKAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const { shape } = present(tensors[0], "logits");
  const { k, score, normalize, normalizeEps, scale, groups, topGroups } = attributes;
  const [logits, bias] = inputs;
  const scores =
    score === "softmax" ? emit.node("Softmax", [logits], { attributes: { axis: -1 } }) : emit.node("Sigmoid", [logits]);
  const biased = bias === undefined ? scores : emit.node("Add", [scores, bias]);
  const choice = topGroups < groups ? open(biased, shape, attributes, emit) : biased;
  const [, indices] = largest(choice, k, emit);
  let weights = emit.node("GatherElements", [scores, indices], { attributes: { axis: -1 } });
  if (normalize) {
    const total = sum(weights, 1, emit);
    weights = emit.node("Div", [weights, emit.node("Add", [total, emit.floats([normalizeEps])])]);
  }
  if (scale !== 1) weights = emit.node("Mul", [weights, emit.floats([scale])]);
  return [weights, indices];
};
