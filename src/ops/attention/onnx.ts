// attention in ONNX: products, a mask and Softmax. A cache is the keys so far, [B, Hk, past, d], and grows by those of the
// call; what is padding, later, or out of the window is masked.
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import type { Shape } from "../../graph/shape.ts";
import type { AttentionAttributes } from "./op.ts";
import { attentionSizes } from "./sizes.ts";

const BOOL = 9;
/** What a masked score is: far below any other, and finite, so that a row without any key is not NaN. */
const NEVER = -1e30;

/** [B, T, H, d] with heads before tokens, and back. */
const exchanged = (x: Value, emit: OnnxEmitter): Value =>
  emit.node("Transpose", [x], { attributes: { perm: [0, 2, 1, 3] } });

/** The length of `axis` of x, int64 []. */
const lengthOf = (x: Value, axis: number, emit: OnnxEmitter): Value =>
  emit.once(`length ${x} ${axis}`, () =>
    emit.node("Gather", [emit.node("Shape", [x]), emit.integer(axis)], { attributes: { axis: 0 } }),
  );

/** Which keys each query sees by its place alone, bool [Tq, S]. */
function visible(queries: Value, keys: Value, window: number, emit: OnnxEmitter): Value {
  const [zero, one] = [emit.integer(0), emit.integer(1)];
  const behind = emit.node("Sub", [keys, queries]);
  const places = emit.node("Add", [emit.node("Range", [zero, queries, one]), behind]);
  const row = emit.node("Unsqueeze", [places, emit.integers([1])]);
  const column = emit.node("Unsqueeze", [emit.node("Range", [zero, keys, one]), emit.integers([0])]);
  const past = emit.node("LessOrEqual", [column, row]);
  if (window === 0) return past;
  const recent = emit.node("Greater", [column, emit.node("Sub", [row, emit.integer(window)])]);
  return emit.node("And", [past, recent]);
}

/** What is added to scores [B, Hk, G, Tq, S]: 0 or NEVER; undefined where every query sees every key. */
function bias(q: Value, keys: Value, { causal, window }: AttentionAttributes, emit: OnnxEmitter): Value | undefined {
  const { sequence } = emit;
  if (!causal && sequence === undefined) return undefined;
  // In a model every layer has the same keys, those of the attention mask: one bias serves all.
  const source = sequence?.keyMask ?? keys;
  const queries = sequence === undefined ? lengthOf(q, 1, emit) : lengthOf(sequence.tokenMask, 1, emit);
  const total = lengthOf(source, sequence === undefined ? 2 : 1, emit);
  const group = sequence === undefined ? `${q} ${keys}` : "model";
  return emit.once(`attention bias ${group} ${causal} ${window}`, () => {
    const placed = causal ? visible(queries, total, window, emit) : undefined;
    const real =
      sequence &&
      emit.node("Unsqueeze", [
        emit.node("Cast", [sequence.keyMask], { attributes: { to: BOOL } }),
        emit.integers([1, 2, 3]),
      ]);
    const open = placed !== undefined && real !== undefined ? emit.node("And", [placed, real]) : (placed ?? real);
    return emit.node("Where", [open, emit.floats([0]), emit.floats([NEVER])]);
  });
}

export const toOnnx: OnnxLowering<AttentionAttributes> = ({ tensors, inputs, attributes }, emit) => {
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
