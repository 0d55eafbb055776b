// How states decay within and between the chunks of a linear attention: not at all, by one number for each state, or by one for
// each key. Tensors are [B, key heads, state heads of each, chunks, tokens, channels].
import { arithmetic, END } from "../../formats/onnx/forms/arithmetic.ts";
import { type Chunks, last, lower, pairDecays } from "../../formats/onnx/forms/chunks.ts";
import { levelsFor, prefixStates } from "../../formats/onnx/forms/prefix.ts";
import { type OnnxEmitter, present, type Value } from "../../formats/onnx/lowering.ts";
import type { Shape } from "../../graph/shape.ts";

/** Axis of the chunks. */
const CHUNKS = 3;

export type Which = "last" | "but last";

export interface ChunkDecay {
  /** x [.., tokens, keys] as it reads the state that the chunk starts from: decayed up to its token. */
  fromStart(x: Value): Value;
  /** Products of x [.., t, keys] with the keys of no later tokens s, decayed from s to t: [.., t, s]. */
  pairs(x: Value): Value;
  /** What x [.., tokens, values] leaves in the state at the end of its chunk, of the last chunk or of all others. */
  written(x: Value, which: Which): Value;
  /** A state [.., chunks, keys, values] after a chunk that writes nothing. */
  faded(state: Value, which: Which): Value;
  /** The states before each chunk, from the one before all, of the shape given, and from what each but the last leaves. */
  carried(first: Value, written: Value, shape: Shape): Value;
}

const part = (x: Value, which: Which, emit: OnnxEmitter): Value =>
  which === "last" ? last(x, CHUNKS, emit) : arithmetic(emit).slice(x, CHUNKS, 0, -1);

/** `keys` [.., tokens, keys], and `columns` with its last axes exchanged. */
export function noDecay(_keys: Value, columns: Value, { size }: Chunks, emit: OnnxEmitter): ChunkDecay {
  const { where, matMul, concat, cumSum } = arithmetic(emit);
  return {
    fromStart: (x) => x,
    pairs: (x) => where(lower(size, false, emit), matMul(x, columns), emit.floats([0])),
    written: (x, which) => matMul(part(columns, which, emit), part(x, which, emit)),
    faded: (state) => state,
    carried: (first, written) => cumSum(concat([first, written], CHUNKS), CHUNKS),
  };
}

/** `logs` [.., tokens] */
export function decayOfStates(
  _keys: Value,
  columns: Value,
  logs: Value,
  { size, count }: Chunks,
  emit: OnnxEmitter,
): ChunkDecay {
  const { mul, exp, matMul, concat, cumSum, slice, unsqueeze, squeeze } = arithmetic(emit);
  const pairs = pairDecays(logs, size, 0, emit);
  const sums = cumSum(logs, CHUNKS + 1);
  const start = unsqueeze(exp(sums), -1);
  // To the last token, from each: [.., tokens, 1].
  const toEnd = unsqueeze(squeeze(last(pairs, -2, emit), -2), -1);
  const whole = last(sums, CHUNKS + 1, emit);
  const factor = unsqueeze(exp(whole), -1);
  return {
    fromStart: (x) => mul(x, start),
    pairs: (x) => mul(matMul(x, columns), pairs),
    written: (x, which) => matMul(part(columns, which, emit), mul(part(x, which, emit), part(toEnd, which, emit))),
    faded: (state, which) => mul(part(factor, which, emit), state),
    carried(first, written) {
      // The state before a chunk is the sum of the first and of what all chunks before it left, decayed by those in between.
      const chunkLogs = squeeze(whole, -1);
      const between = concat([slice(chunkLogs, CHUNKS, 0, 1), slice(chunkLogs, CHUNKS, 0, -1)], CHUNKS);
      const left = concat([first, written], CHUNKS);
      const shape = emit.node("Shape", [left]);
      const rows = emit.node("Reshape", [left, emit.integers([0, 0, 0, 0, -1])]);
      return emit.node("Reshape", [matMul(pairDecays(between, count, 0, emit), rows), shape]);
    },
  };
}

/** `logs` [.., tokens, keys]; states are [.., keys, values]. */
export function decayOfKeys(
  keys: Value,
  _columns: Value,
  logs: Value,
  values: number,
  { size, count, longest }: Chunks,
  emit: OnnxEmitter,
): ChunkDecay {
  const { add, sub, mul, exp, matMul, concat, cumSum, slice, unsqueeze, squeeze, transpose } = arithmetic(emit);
  // [.., t, s, keys]: each key as later tokens read it.
  const decays = pairDecays(logs, size, 1, emit);
  const decayed = mul(decays, unsqueeze(keys, -3));
  const sums = cumSum(logs, CHUNKS + 1);
  const start = exp(sums);
  const exchanged = (x: Value): Value => transpose(x, [0, 1, 2, 3, 5, 4]);
  const atEnd = exchanged(squeeze(slice(decayed, -3, -1, END), -3));
  const factor = exchanged(exp(last(sums, CHUNKS + 1, emit)));
  return {
    fromStart: (x) => mul(x, start),
    pairs: (x) => squeeze(matMul(decayed, unsqueeze(x, -1)), -1),
    written: (x, which) => matMul(part(atEnd, which, emit), part(x, which, emit)),
    faded: (state, which) => mul(part(factor, which, emit), state),
    carried(first, written, shape) {
      const [after] = prefixStates(
        {
          decayShape: [...shape.slice(0, -1), 1],
          inputShape: shape,
          axis: CHUNKS,
          length: emit.once(`all but one of ${count}`, () => sub(count, emit.integers([1]))),
          levels: levelsFor(Math.ceil(emit.longest / longest) - 1),
          // A key's decay is that of all its values.
          linear: {
            transposed: (a) => a,
            // A product with ones: where there is no chunk, onnxruntime's ReduceSum leaves the axis as it is.
            ofDecay: (g, state) => matMul(mul(g, state), emit.floats(new Float32Array(values).fill(1), [values, 1])),
          },
          decays: [part(factor, "but last", emit)],
          inputs: [written],
          initial: [first],
          compose: ([earlier], [later]) => [mul(present(earlier, "earlier"), present(later, "later"))],
          advance: ([state], [a], [b]) => [add(mul(present(state, "state"), present(a, "a")), present(b, "b"))],
        },
        emit,
      );
      return concat([first, present(after, "states")], CHUNKS);
    },
  };
}
