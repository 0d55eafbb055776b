// Which keys each query of an attention sees, in ONNX: what is padding, later, or out of the window is masked.
import { cast } from "../../formats/onnx/forms/cast.ts";
import type { OnnxEmitter, Value } from "../../formats/onnx/lowering.ts";
import type { AttentionAttributes } from "./op.ts";

/** What a masked score is: far below any other, and finite, so that a row without any key is not NaN. */
const NEVER = -1e30;

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
export function bias(
  q: Value,
  keys: Value,
  { causal, window }: AttentionAttributes,
  emit: OnnxEmitter,
): Value | undefined {
  const { sequence } = emit;
  if (!causal && sequence === undefined) return undefined;
  // In a model every layer has the same keys, those of the attention mask: one bias serves all.
  const source = sequence?.keyMask ?? keys;
  const queries = sequence === undefined ? lengthOf(q, 1, emit) : lengthOf(sequence.tokenMask, 1, emit);
  const total = lengthOf(source, sequence === undefined ? 2 : 1, emit);
  const group = sequence === undefined ? `${q} ${keys}` : "model";
  return emit.once(`attention bias ${group} ${causal} ${window}`, () => {
    const placed = causal ? visible(queries, total, window, emit) : undefined;
    const real = sequence && emit.node("Unsqueeze", [cast(sequence.keyMask, "bool", emit), emit.integers([1, 2, 3])]);
    const open = placed !== undefined && real !== undefined ? emit.node("And", [placed, real]) : (placed ?? real);
    return emit.node("Where", [open, emit.floats([0]), emit.floats([NEVER])]);
  });
}
