// Sizes of a linear attention and which heads read which: shared by the op, its gradient and their facets.
import { type Dim, dimAt, fixedDimAt, formatShape, GraphError, type TensorType } from "../../graph/shape.ts";

/** The sizes of one linear attention; batch and time may be symbols. */
export interface LinearAttentionShape {
  readonly batch: Dim;
  readonly time: Dim;
  readonly queryHeads: number;
  readonly keyHeads: number;
  /** Heads of v, of the state, of decay and of beta. */
  readonly stateHeads: number;
  readonly outputHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
}

/** Tokens per entry of the `starts` output: the states that the backward pass restarts from. */
export const CHUNK = 64;

/** Reads the sizes off q, k and v; throws GraphError where they do not fit together. */
export function linearAttentionShape(
  name: string,
  q: TensorType | undefined,
  k: TensorType | undefined,
  v: TensorType | undefined,
): LinearAttentionShape {
  if (q === undefined || k === undefined || v === undefined) throw new GraphError(`${name}: q, k and v are needed`);
  for (const [what, x] of Object.entries({ q, k, v })) {
    if (x.shape.length !== 4 || x.dtype !== "f32") {
      throw new GraphError(`${name}: ${what} must be f32 [B, T, heads, width], not ${x.dtype} ${formatShape(x.shape)}`);
    }
  }
  const shape = {
    batch: dimAt(q.shape, 0),
    time: dimAt(q.shape, 1),
    queryHeads: fixedDimAt(q.shape, 2),
    keyHeads: fixedDimAt(k.shape, 2),
    stateHeads: fixedDimAt(v.shape, 2),
    outputHeads: Math.max(fixedDimAt(q.shape, 2), fixedDimAt(v.shape, 2)),
    keyDim: fixedDimAt(q.shape, 3),
    valueDim: fixedDimAt(v.shape, 3),
  };
  const seen = `q ${formatShape(q.shape)}, k ${formatShape(k.shape)}, v ${formatShape(v.shape)}`;
  for (const x of [k, v]) {
    if (x.shape[0] !== shape.batch || x.shape[1] !== shape.time) {
      throw new GraphError(`${name}: batch and time differ: ${seen}`);
    }
  }
  if (k.shape[3] !== shape.keyDim) throw new GraphError(`${name}: q and k differ in width: ${seen}`);
  const { queryHeads, keyHeads, stateHeads } = shape;
  if (stateHeads % keyHeads !== 0) {
    throw new GraphError(`${name}: ${stateHeads} value heads are not a multiple of ${keyHeads} key heads: ${seen}`);
  }
  if (stateHeads % queryHeads !== 0 && queryHeads % stateHeads !== 0) {
    throw new GraphError(
      `${name}: ${queryHeads} query heads neither divide nor are a multiple of ${stateHeads} value heads: ${seen}`,
    );
  }
  return shape;
}

/** The key head that state head `head` is written by. */
export const keyHeadOf = (shape: LinearAttentionShape, head: number): number =>
  Math.floor(head / (shape.stateHeads / shape.keyHeads));

/** How many outputs each state has: more than one only where there are more query heads than states. */
export const readersOf = (shape: LinearAttentionShape): number => Math.max(1, shape.queryHeads / shape.stateHeads);

/** The query head of output head `head`. */
export const queryHeadOf = (shape: LinearAttentionShape, head: number): number =>
  Math.floor(head / (shape.outputHeads / shape.queryHeads));

/** Number of sets of heads that share no q and no k head with each other. */
export function independentGroups({ queryHeads, keyHeads, stateHeads }: LinearAttentionShape): number {
  return queryHeads >= stateHeads ? keyHeads : greatestCommonDivisor(queryHeads, keyHeads);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
