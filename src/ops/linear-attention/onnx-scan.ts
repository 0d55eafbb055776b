// linear_attention as a Scan: decay, write, read. A token that is padding neither decays a state nor writes to it.
import { initial, scan, unsqueeze } from "../../formats/onnx/forms/scan.ts";
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import type { Shape } from "../../graph/shape.ts";
import type { LinearAttentionAttributes } from "./op.ts";
import { type LinearAttentionShape, linearAttentionShape, readersOf } from "./shapes.ts";

/** x [B, T, heads, d] with each head as often as states share it, [B, T, states, d]. */
function shared(x: Value, heads: number, sizes: LinearAttentionShape, emit: OnnxEmitter): Value {
  const { batch, time, stateHeads, keyDim } = sizes;
  if (heads === stateHeads) return x;
  const repeated: Shape = [batch, time, heads, stateHeads / heads, keyDim];
  const copies = emit.node("Expand", [unsqueeze(x, [3], emit), emit.sizes(repeated)]);
  return emit.reshape(copies, repeated, [batch, time, stateHeads, keyDim]);
}

/** Logarithms of the decay [B, T, heads, 1 or keys], 0 for padding. */
function decayOf(
  decay: Value | undefined,
  shape: Shape | undefined,
  { batch, time }: LinearAttentionShape,
  emit: OnnxEmitter,
): Value | undefined {
  if (decay === undefined || shape === undefined) return undefined;
  const whole: Shape = [batch, time, ...shape.slice(2)];
  const isWhole = shape[0] === batch && shape[1] === time;
  const perToken = masked(isWhole ? decay : emit.node("Expand", [decay, emit.sizes(whole)]), whole.length - 2, emit);
  return whole.length === 4 ? perToken : unsqueeze(perToken, [3], emit);
}

export const toScan: OnnxLowering<LinearAttentionAttributes> = ({ tensors, inputs, outputs, attributes }, emit) => {
  const sizes = linearAttentionShape("linear_attention", tensors[0], tensors[1], tensors[2]);
  const { batch, time, queryHeads, keyHeads, stateHeads, outputHeads, keyDim, valueDim } = sizes;
  const readers = readersOf(sizes);
  const q = present(inputs[0], "q");
  // The queries of each state [B, T, states, readers, d].
  const queries =
    queryHeads <= stateHeads
      ? unsqueeze(shared(q, queryHeads, sizes, emit), [3], emit)
      : emit.reshape(q, [batch, time, queryHeads, keyDim], [batch, time, stateHeads, readers, keyDim]);
  const row = (x: Value): Value => unsqueeze(x, [2], emit);
  const { states, outputs: read } = scan(
    {
      states: { s: initial(inputs[5], present(outputs[1], "sT").shape, emit) },
      tokens: {
        q: queries,
        k: masked(shared(present(inputs[1], "k"), keyHeads, sizes, emit), 2, emit),
        v: inputs[2],
        decay: decayOf(inputs[3], tensors[3]?.shape, sizes, emit),
        beta: inputs[4],
      },
      step(value) {
        let s = value("s");
        if (inputs[3] !== undefined)
          s = emit.node("Mul", [unsqueeze(emit.node("Exp", [value("decay")]), [3], emit), s]);
        let write = row(value("v"));
        if (inputs[4] !== undefined) {
          const recalled = emit.node("MatMul", [row(value("k")), s]);
          const strength = unsqueeze(value("beta"), [2, 3], emit);
          write = emit.node("Mul", [strength, emit.node("Sub", [write, recalled])]);
        }
        s = emit.node("Add", [s, emit.node("Mul", [unsqueeze(value("k"), [3], emit), write])]);
        return { states: { s }, outputs: [emit.node("MatMul", [value("q"), s])] };
      },
    },
    emit,
  );
  const y = emit.node("Mul", [present(read[0], "y"), emit.floats([attributes.scale])]);
  const split: Shape = [batch, time, stateHeads, readers, valueDim];
  return [emit.reshape(y, split, [batch, time, outputHeads, valueDim]), states[0]];
};
