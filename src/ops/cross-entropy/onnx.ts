// cross_entropy in ONNX: LogSoftmax, of which each row's target is taken; rows without one count for nothing.
import { cast } from "../../formats/onnx/forms/cast.ts";
import { type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import type { CrossEntropyAttributes } from "./op.ts";

export const toOnnx: OnnxLowering<CrossEntropyAttributes> = ({ inputs, attributes: { ignore } }, emit) => {
  const [logits, targets] = [present(inputs[0], "logits"), present(inputs[1], "targets")];
  const last = emit.integers([-1]);
  const isIgnored = emit.node("Equal", [targets, emit.integer(ignore)]);
  // Any class will do where none is asked for.
  const classes = emit.node("Where", [isIgnored, emit.integer(0), targets]);
  const logs = emit.node("LogSoftmax", [logits], { attributes: { axis: -1 } });
  const taken = emit.node("GatherElements", [logs, emit.node("Unsqueeze", [classes, last])], {
    attributes: { axis: -1 },
  });
  const losses = emit.node("Neg", [emit.node("Squeeze", [taken, last])]);
  const counted = emit.node("Where", [isIgnored, emit.floats([0]), losses]);
  const all = { attributes: { keepdims: 0 } };
  const count = emit.node("ReduceSum", [cast(emit.node("Not", [isIgnored]), "f32", emit)], all);
  const sum = emit.node("ReduceSum", [counted], all);
  const loss = emit.node("Div", [sum, emit.node("Max", [count, emit.floats([1])])]);
  return [loss, undefined, count];
};
