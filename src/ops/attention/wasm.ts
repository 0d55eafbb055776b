// Launch of attention (kernels/attention/forward.as.ts): how rows, heads and keys are cut up, and the scratch that takes.
import { type Emitter, float, type WasmLowering, type WasmTensor, type Word } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import { type AttentionAttributes, type AttentionSizes, attentionSizes } from "./sizes.ts";

/** How the work of one forward pass is divided. */
export interface AttentionPlan {
  /** Rows (queries times query heads of one key head) of a tile, and of a panel within it. */
  readonly tileRows: number;
  readonly panelRows: 4 | 16;
  readonly tileKeys: number;
  /** Parts of the keys, joined by attention_combine when there are several. */
  readonly splits: number;
  /** Key heads that one item takes, so that few rows read a cache from end to end in order. */
  readonly itemHeads: number;
  readonly items: number;
  /** 32-bit words of scratch: for each thread, and for partial results. */
  readonly threadWords: number;
  readonly partialWords: number;
}

const roundUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;

/** Keys that fit a tile together with their values, 8 K floats of each. */
const tileKeysFor = (channels: number): number => Math.min(256, Math.max(32, roundUp(8192 / channels, 32)));

export function planAttention(
  sizes: AttentionSizes<number>,
  capacity: number,
  window: number,
  threads: number,
): AttentionPlan {
  const { batch, queryTokens, keyTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const rows = queryTokens * (queryHeads / keyHeads);
  const reach = Math.min(capacity + keyTokens, window > 0 ? window + queryTokens - 1 : Number.POSITIVE_INFINITY);
  const few = rows <= 8;
  const itemHeads = few ? keyHeads : 1;
  const itemsOf = (tile: number): number => ((batch * keyHeads) / itemHeads) * Math.ceil(rows / tile);
  // Enough tiles for the zigzag to even out, but no smaller ones than needed: queries are packed once per tile.
  const tileRows = few ? roundUp(rows, 4) : ([64, 32].find((tile) => itemsOf(tile) >= 4 * threads) ?? 16);
  const uneven = itemsOf(tileRows) % threads !== 0 && itemsOf(tileRows) < 4 * threads;
  const splits = uneven && reach >= 64 ? threads : 1;
  const items = itemsOf(tileRows) * splits;
  const panelRows = few ? 4 : 16;
  const tileKeys = Math.min(few ? 64 : tileKeysFor(Math.max(keyDim, valueDim)), roundUp(reach, 4));
  const columns = roundUp(valueDim, 4);
  const stateWords = itemHeads * tileRows * (columns + 2);
  const padded = columns === valueDim ? 0 : tileKeys * columns;
  const queries = itemHeads * tileRows * roundUp(keyDim, 4);
  const threadWords = queries + tileRows + 16 + tileKeys * panelRows + padded + (splits === 1 ? stateWords : 0);
  const partialWords = splits === 1 ? 0 : items * stateWords;
  return {
    tileRows,
    panelRows,
    tileKeys,
    splits,
    itemHeads,
    items,
    threadWords: roundUp(threadWords, 16),
    partialWords,
  };
}

function append(rows: WasmTensor, past: WasmTensor, present: WasmTensor, position: Word, emit: Emitter): void {
  const [batch = 0, tokens = 0, heads = 0, channels = 0] = rows.shape;
  emit.command("attention_append", [rows, past, present, position, batch, tokens, past.shape[1], heads * channels]);
}

export const lower: WasmLowering<AttentionAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const k = required(inputs[1], "attention k");
  const v = required(inputs[2], "attention v");
  const [q, , , pastKey, pastValue, position, sink] = inputs;
  const [y, lse, presentKey, presentValue] = outputs;
  const { scale, causal, window, softcap } = attributes;
  const sizes = attentionSizes("attention", q, k, v);
  const { batch, queryTokens, keyTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const capacity = pastKey?.shape[1] ?? 0;
  if (y !== undefined || lse !== undefined) {
    const plan = planAttention(sizes, capacity, window, emit.threads);
    const words: Word[] = [q, k, v, pastKey, pastValue, position, sink, y, lse];
    words.push(emit.scratch(4 * plan.threadWords * emit.threads), 4 * plan.threadWords);
    words.push(plan.partialWords > 0 ? emit.scratch(4 * plan.partialWords) : undefined);
    words.push(batch, queryTokens, keyTokens, capacity, queryHeads, keyHeads, keyDim, valueDim);
    words.push(float(scale), causal ? 1 : 0, window, float(softcap));
    words.push(plan.tileRows, plan.tileKeys, plan.splits, plan.panelRows, plan.itemHeads);
    emit.command("attention", words);
    if (plan.splits > 1) emit.command("attention_combine", words);
  }
  if (pastKey && presentKey) append(k, pastKey, presentKey, position, emit);
  if (pastValue && presentValue) append(v, pastValue, presentValue, position, emit);
};
