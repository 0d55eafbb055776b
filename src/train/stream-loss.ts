// The loss of a model that reads a text from beginning to end, as it would in use: its state is carried along, so that
// every token is predicted from all before it. This is the number to compare with a compressor's.
import type { TokenArray } from "../data/text.ts";
import type { Model } from "../model/model.ts";

/** Tokens read by one call. */
const CHUNK = 512;

/**
 * Mean cross entropy, in nats, of tokens 1 to n - 1, each given all before it; undefined for models that were not
 * made for it, whose state grows with the text (attention without a window) or whose positions end (learned ones).
 */
export async function streamLoss(model: Model, tokens: TokenArray): Promise<number | undefined> {
  const isBounded = !model.stateLayout.tensors.some(({ shape }) => shape.includes("C"));
  if (!isBounded || model.spec.positions !== null || tokens.length < 2) return undefined;
  const state = model.createState(1, { context: CHUNK });
  const width = model.spec.vocab_size;
  let total = 0;
  for (let start = 0; start + 1 < tokens.length; start += CHUNK) {
    const chunk = Int32Array.from(tokens.subarray(start, Math.min(start + CHUNK, tokens.length - 1)));
    const { logits } = await model.forward(chunk, { state });
    for (let t = 0; t < chunk.length; t++) {
      total += crossEntropy(logits.subarray(t * width, (t + 1) * width), tokens[start + t + 1] ?? 0);
    }
  }
  return total / (tokens.length - 1);
}

function crossEntropy(logits: Float32Array, target: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) largest = Math.max(largest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return largest + Math.log(sum) - (logits[target] ?? Number.NaN);
}
