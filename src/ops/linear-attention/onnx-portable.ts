// linear_attention in ONNX from primitives: chunks of tokens, within which everything is products of matrices, and a scan over
// the states between chunks (Yang et al. 2024, arXiv 2312.06635, section 4; for the delta rules 2406.06484, section 3).
import { arithmetic } from "../../formats/onnx/forms/arithmetic.ts";
import { chunksOf, cut, last, uncut } from "../../formats/onnx/forms/chunks.ts";
import { levelsFor, prefixStates } from "../../formats/onnx/forms/prefix.ts";
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import type { Tensor } from "../../graph/types.ts";
import { type ChunkDecay, decayOfKeys, decayOfStates, noDecay } from "./onnx-decay.ts";
import { inverseOfUnitLower } from "./onnx-inverse.ts";
import { hasBeta, type LinearAttentionAttributes } from "./op.ts";
import { type LinearAttentionShape, linearAttentionShape } from "./shapes.ts";

/** Tokens of a chunk; fewer where each key has a decay of its own, since a pair of tokens then has one for each key. */
const CHUNK = 64;
const CHUNK_OF_KEY_DECAYS = 16;
/** Axis of the chunks in [B, key heads, state heads of each, chunks, tokens, channels]. */
const CHUNKS = 3;

/** From [B, chunks, tokens, key heads, state heads of each, channels] to heads before chunks; the way back is the same. */
const HEADS_FIRST = [0, 3, 4, 1, 2, 5] as const;
const chunksFirst = HEADS_FIRST;

export const toPortableOnnx: OnnxLowering<LinearAttentionAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const shape = linearAttentionShape("linear_attention", tensors[0], tensors[1], tensors[2]);
  const { batch, time, keyHeads, stateHeads, keyDim, valueDim, outputHeads } = shape;
  const groups = stateHeads / keyHeads;
  const { add, sub, mul, matMul, concat, transpose, unsqueeze } = arithmetic(emit);
  const perKey = tensors[3]?.shape.length === 4;
  const longest = perKey ? CHUNK_OF_KEY_DECAYS : CHUNK;
  const chunks = chunksOf(time, longest, emit);
  /** x [B, T, heads, channels] in chunks, heads first. */
  const arranged = (x: Value, heads: readonly [number, number], channels: number): Value =>
    transpose(cut(x, 4, [...heads, channels], chunks, emit), HEADS_FIRST);
  /** x [B, T, state heads] likewise: [.., chunks, tokens]. */
  const gate = (x: Value): Value => transpose(cut(x, 3, [keyHeads, groups], chunks, emit), HEADS_FIRST.slice(0, -1));

  const keys = arranged(masked(present(inputs[1], "k"), 2, emit), [keyHeads, 1], keyDim);
  const values = arranged(present(inputs[2], "v"), [keyHeads, groups], valueDim);
  const columns = transpose(keys, [0, 1, 2, 3, 5, 4]);
  const logs =
    inputs[3] && masked(everyToken(inputs[3], present(tensors[3], "decay"), shape, emit), perKey ? 2 : 1, emit);
  let decay: ChunkDecay;
  if (logs === undefined) decay = noDecay(keys, columns, chunks, emit);
  else if (perKey)
    decay = decayOfKeys(keys, columns, arranged(logs, [keyHeads, groups], keyDim), valueDim, chunks, emit);
  else decay = decayOfStates(keys, columns, gate(logs), chunks, emit);

  const zeros = (): Value => emit.node("Expand", [emit.floats([0]), emit.sizes([batch, stateHeads, keyDim, valueDim])]);
  // With an axis for the chunks, along which it is the first.
  const first = emit.node("Reshape", [
    inputs[5] ?? zeros(),
    emit.integers([typeof batch === "number" ? batch : 0, keyHeads, groups, 1, keyDim, valueDim]),
  ]);
  const beta = hasBeta(attributes.rule) ? unsqueeze(gate(present(inputs[4], "beta")), -1) : undefined;
  const { states, writes } = beta === undefined ? plainWrites() : correctedWrites(beta);
  const lastState = last(states, CHUNKS, emit);
  const final = add(decay.faded(lastState, "last"), decay.written(writes, "last"));

  /** Nothing that is written depends on a state: all chunks' writes are known. */
  function plainWrites(): { readonly states: Value; readonly writes: Value } {
    const written = decay.written(values, "but last");
    return { states: decay.carried(first, written, [batch, keyHeads, groups, 1, keyDim, valueDim]), writes: values };
  }

  /**
   * With w = W(V − Γ K S) what tokens write when the chunk starts from S, a chunk makes of S the state (Γ − K̃ᵀ W Γ K) S +
   * K̃ᵀ W V, where W = (1 + strictly lower part of β K Kᵀ, decayed)⁻¹ β.
   */
  function correctedWrites(strength: Value): { readonly states: Value; readonly writes: Value } {
    const size = chunks.size;
    const overlap = mul(decay.pairs(keys), strength);
    const inverse = inverseOfUnitLower(overlap, size, longest, emit);
    const fresh = matMul(inverse, mul(values, strength));
    const read = matMul(inverse, mul(decay.fromStart(keys), strength));
    const identity = emit.once(`identity ${keyDim}`, () => {
      const data = new Float32Array(keyDim * keyDim);
      for (let i = 0; i < keyDim; i++) data[i * keyDim + i] = 1;
      return emit.floats(data, [keyDim, keyDim]);
    });
    const transition = sub(decay.faded(identity, "but last"), decay.written(read, "but last"));
    const one = emit.integers([1]);
    const [after] = prefixStates(
      {
        decayShape: [batch, keyHeads, groups, 1, keyDim, keyDim],
        inputShape: [batch, keyHeads, groups, 1, keyDim, valueDim],
        axis: CHUNKS,
        length: emit.once(`all but one of ${chunks.count}`, () => sub(chunks.count, one)),
        levels: levelsFor(Math.ceil(emit.longest / longest) - 1),
        linear: {
          transposed: (a) => transpose(a, [0, 1, 2, 3, 5, 4]),
          ofDecay: (g, state) => matMul(g, transpose(state, [0, 1, 2, 3, 5, 4])),
        },
        decays: [transition],
        inputs: [decay.written(fresh, "but last")],
        initial: [first],
        compose: ([earlier], [later]) => [matMul(present(later, "later"), present(earlier, "earlier"))],
        advance: ([state], [a], [b]) => [add(matMul(present(a, "a"), present(state, "state")), present(b, "b"))],
      },
      emit,
    );
    const states = concat([first, present(after, "states")], CHUNKS);
    return { states, writes: sub(fresh, matMul(read, states)) };
  }

  const readers = Math.max(1, shape.queryHeads / stateHeads);
  const outputs = queriesOf(inputs[0], shape, emit).map(({ value, perState }) => {
    const queries = arranged(
      attributes.scale === 1 ? value : mul(value, emit.floats([attributes.scale])),
      [keyHeads, perState ? groups : 1],
      keyDim,
    );
    const old = matMul(decay.fromStart(queries), states);
    const y = add(old, matMul(decay.pairs(queries), writes));
    return uncut(transpose(y, chunksFirst), batch, [stateHeads, valueDim], chunks, emit);
  });
  const output =
    readers === 1
      ? present(outputs[0], "y")
      : emit.reshape(
          concat(
            outputs.map((y) => unsqueeze(y, 3)),
            3,
          ),
          [batch, time, stateHeads, readers, valueDim],
          [batch, time, outputHeads, valueDim],
        );
  return [
    output,
    emit.reshape(final, [batch, keyHeads, groups, 1, keyDim, valueDim], [batch, stateHeads, keyDim, valueDim]),
  ];
};

/** Log decays for every token of every row. */
export function everyToken(
  decay: Value,
  tensor: Tensor,
  { batch, time }: LinearAttentionShape,
  emit: OnnxEmitter,
): Value {
  const [b, t, ...rest] = tensor.shape;
  return b === batch && t === time ? decay : emit.node("Expand", [decay, emit.sizes([batch, time, ...rest])]);
}

interface Queries {
  /** [B, T, key heads or state heads, keyDim] */
  readonly value: Value;
  /** Whether each state has its own, rather than those of a key head one for all. */
  readonly perState: boolean;
}

/** The queries of each reader of a state. */
function queriesOf(q: Value | undefined, shape: LinearAttentionShape, emit: OnnxEmitter): readonly Queries[] {
  const { batch, time, queryHeads, keyHeads, stateHeads, keyDim } = shape;
  const { slice, unsqueeze, squeeze } = arithmetic(emit);
  const value = present(q, "q");
  if (queryHeads === stateHeads) return [{ value, perState: true }];
  if (queryHeads === keyHeads) return [{ value, perState: false }];
  if (queryHeads < stateHeads) {
    const spread = [batch, time, queryHeads, stateHeads / queryHeads, keyDim];
    const repeated = emit.node("Expand", [unsqueeze(value, 3), emit.sizes(spread)]);
    return [{ value: emit.reshape(repeated, spread, [batch, time, stateHeads, keyDim]), perState: true }];
  }
  const readers = queryHeads / stateHeads;
  const split = emit.reshape(value, [batch, time, queryHeads, keyDim], [batch, time, stateHeads, readers, keyDim]);
  return Array.from({ length: readers }, (_, i) => ({
    value: squeeze(slice(split, 3, i, i + 1), 3),
    perState: true,
  }));
}
