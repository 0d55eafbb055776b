// Launch of attention_gradient (kernels/attention/backward.as.ts): tiles, splits and the scratch they take.
import { float, type WasmLowering, type Word } from "../../runtime/wasm/lowering.ts";
import { type AttentionAttributes, type AttentionSizes, attentionSizes } from "../attention/sizes.ts";

/** How the work of one backward pass is divided. */
export interface AttentionGradientPlan {
  readonly tileRows: number;
  readonly tileKeys: number;
  /** Parts of the rows of one key head, each with sums of its own for dk and dv. */
  readonly splits: number;
  /** 32-bit words of scratch of each thread. */
  readonly threadWords: number;
  /** 32-bit words of the parts of dk and of dv; 0 where the outputs themselves are summed into. */
  readonly keyPartialWords: number;
  readonly valuePartialWords: number;
}

const roundUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;

const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b));

export function planAttentionGradient(sizes: AttentionSizes<number>, threads: number): AttentionGradientPlan {
  const { batch, queryTokens, keyTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const rows = queryTokens * (queryHeads / keyHeads);
  const tileKeys = Math.min(64, roundUp(keyTokens, 4));
  const heads = batch * keyHeads;
  // Heads are dealt out evenly if they divide; many heads are even enough.
  const parts = heads >= 8 * threads ? 1 : threads / greatestCommonDivisor(heads, threads);
  // Small tiles share out more evenly.
  const tileRows = Math.min(parts > 1 ? 32 : 64, roundUp(rows, 16));
  const splits = Math.min(parts, Math.ceil(rows / tileRows));
  const [keyColumns, valueColumns] = [roundUp(keyDim, 4), roundUp(valueDim, 4)];
  const panels = tileRows * (keyDim + valueDim);
  const copies = tileRows * (2 * keyColumns + valueColumns + 3);
  const tiles = 2 * tileKeys * tileRows + (keyColumns === keyDim ? 0 : tileKeys * keyColumns);
  // Sums are whole vectors: rows that are not need room of their own.
  const partial = (channels: number, columns: number): number =>
    splits > 1 || columns !== channels ? splits * heads * keyTokens * columns : 0;
  return {
    tileRows,
    tileKeys,
    splits,
    threadWords: roundUp(panels + copies + tiles + 16 * valueDim, 16),
    keyPartialWords: partial(keyDim, keyColumns),
    valuePartialWords: partial(valueDim, valueColumns),
  };
}

export const lower: WasmLowering<AttentionAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [q, k, v, sink, y, lse, dy, dlse] = inputs;
  const [dq, dk, dv, dsink] = outputs;
  const { scale, causal, window, softcap } = attributes;
  const sizes = attentionSizes("attention_gradient", q, k, v);
  const { batch, queryTokens, keyTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const plan = planAttentionGradient(sizes, emit.threads);
  const scratch = (words: number): Word => (words > 0 ? emit.scratch(4 * words) : undefined);
  const sinkPartials = dsink ? scratch(batch * plan.splits * queryHeads) : undefined;
  const threadScratch = scratch(plan.threadWords * emit.threads);
  const keyPartials = dk ? scratch(plan.keyPartialWords) : undefined;
  const valuePartials = dv ? scratch(plan.valuePartialWords) : undefined;
  const words: Word[] = [q, k, v, y, lse, dy, sink, dlse, dq, dk, dv, sinkPartials];
  words.push(threadScratch, 4 * plan.threadWords, keyPartials, valuePartials);
  words.push(batch, queryTokens, keyTokens, queryHeads, keyHeads, keyDim, valueDim);
  words.push(float(scale), causal ? 1 : 0, window, float(softcap), plan.tileRows, plan.tileKeys, plan.splits);
  emit.command("attention_gradient", words);
  if (keyPartials !== undefined) {
    emit.command("attention_gradient_sum", [keyPartials, dk, plan.splits, batch, keyTokens, keyHeads, keyDim]);
  }
  if (valuePartials !== undefined) {
    emit.command("attention_gradient_sum", [valuePartials, dv, plan.splits, batch, keyTokens, keyHeads, valueDim]);
  }
  if (dsink !== undefined) {
    const group = queryHeads / keyHeads;
    emit.command("attention_gradient_sink", [sinkPartials, dsink, batch, keyHeads, plan.splits, group]);
  }
};
