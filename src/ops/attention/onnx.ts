// attention in ONNX: products, a mask and Softmax. A cache is the keys so far, [B, Hk, past, d], and grows by those of the
// call; what is padding, later, or out of the window is masked.
import {
  type LoweringContext,
  type OnnxEmitter,
  type OnnxForms,
  type OnnxLowering,
  present,
  type Value,
} from "../../formats/onnx/lowering.ts";
import type { Shape } from "../../graph/shape.ts";
import { bias } from "./onnx-mask.ts";
import { hasGroupQueryForm, toGroupQuery } from "./onnx-ort.ts";
import { toStandardOnnx } from "./onnx-standard.ts";
import type { AttentionAttributes } from "./op.ts";
import { attentionSizes } from "./sizes.ts";

/** [B, T, H, d] with heads before tokens, and back. */
const exchanged = (x: Value, emit: OnnxEmitter): Value =>
  emit.node("Transpose", [x], { attributes: { perm: [0, 2, 1, 3] } });

const fromPrimitives: OnnxLowering<AttentionAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const sizes = attentionSizes("attention", tensors[0], tensors[1], tensors[2]);
  const { batch, queryTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const groups = queryHeads / keyHeads;
  const [q, k, v, pastKey, pastValue, , sink] = inputs;
  const joined = (past: Value | undefined, x: Value | undefined, what: string): Value => {
    const fresh = exchanged(present(x, what), emit);
    return past === undefined ? fresh : emit.node("Concat", [past, fresh], { attributes: { axis: 2 } });
  };
  const keys = joined(pastKey, k, "k");
  const values = joined(pastValue, v, "v");
  // Query heads that share a key head are an axis of their own, along which keys and values broadcast.
  const flat: Shape = [batch, queryHeads, queryTokens, keyDim];
  const queries = emit.reshape(exchanged(present(q, "q"), emit), flat, [batch, keyHeads, groups, queryTokens, keyDim]);
  const columns = emit.node("Transpose", [keys], { attributes: { perm: [0, 1, 3, 2] } });
  const grouped = (x: Value): Value => emit.node("Unsqueeze", [x, emit.integers([2])]);
  let scores = emit.node("MatMul", [emit.node("Mul", [queries, emit.floats([attributes.scale])]), grouped(columns)]);
  if (attributes.softcap > 0) {
    const cap = emit.floats([attributes.softcap]);
    scores = emit.node("Mul", [emit.node("Tanh", [emit.node("Div", [scores, cap])]), cap]);
  }
  const added = bias(present(q, "q"), keys, attributes, emit);
  if (added !== undefined) scores = emit.node("Add", [scores, added]);
  const weights = sink === undefined ? softmax(scores, emit) : withSink(scores, sink);
  const y = emit.node("MatMul", [weights, grouped(values)]);
  const heads = emit.reshape(
    y,
    [batch, keyHeads, groups, queryTokens, valueDim],
    [batch, queryHeads, queryTokens, valueDim],
  );
  const cached = pastKey !== undefined;
  return [exchanged(heads, emit), undefined, cached ? keys : undefined, cached ? values : undefined];

  /** A score of its own for each head joins the softmax and is dropped after it. */
  function withSink(plain: Value, logits: Value): Value {
    const column = emit.node("Expand", [
      emit.reshape(logits, [queryHeads], [keyHeads, groups, 1, 1]),
      emit.sizes([batch, keyHeads, groups, queryTokens, 1]),
    ]);
    const all = softmax(emit.node("Concat", [plain, column], { attributes: { axis: -1 } }), emit);
    return emit.node("Slice", [all, emit.integers([0]), emit.integers([-1]), emit.integers([-1])]);
  }
};

const softmax = (scores: Value, emit: OnnxEmitter): Value =>
  emit.node("Softmax", [scores], { attributes: { axis: -1 } });

export const toOnnx: OnnxForms<AttentionAttributes> = {
  ort: (context, emit) => (hasGroupQueryForm(context, emit) ? toGroupQuery : fromPrimitives)(context, emit),
  onnx: (context, emit) => (isStandard(context, emit) ? toStandardOnnx : fromPrimitives)(context, emit),
  portable: fromPrimitives,
};

/** The standard operator has no sinks and caps scores after the mask is added; a mask is there for caches of models only. */
function isStandard({ inputs, attributes }: LoweringContext<AttentionAttributes>, { sequence }: OnnxEmitter): boolean {
  const [, , , pastKey, , , sink] = inputs;
  return attributes.softcap === 0 && sink === undefined && (pastKey === undefined || sequence !== undefined);
}
