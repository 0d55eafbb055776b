// How often a model says the right token, over the positions that are scored.
import { IGNORED_TARGET } from "./batches.ts";
import { DataError } from "./error.ts";

/** Counts that can be added up over batches. */
export interface Accuracy {
  /** Scored positions with the right prediction. */
  correct: number;
  /** Positions whose target is not {@link IGNORED_TARGET}. */
  scored: number;
  /** Rows in which every scored position is right, and rows with any. */
  rowsCorrect: number;
  rowsScored: number;
}

/**
 * Compares predictions with targets.
 *
 * @param predictions token ids [B,T]
 * @param targets token ids [B,T], {@link IGNORED_TARGET} where nothing is scored
 * @param length T
 */
export function countCorrect(predictions: ArrayLike<number>, targets: ArrayLike<number>, length: number): Accuracy {
  if (predictions.length !== targets.length) {
    throw new DataError(`${predictions.length} predictions for ${targets.length} targets`);
  }
  if (!Number.isSafeInteger(length) || length < 1 || targets.length % length !== 0) {
    throw new DataError(`${targets.length} targets are not rows of ${length}`);
  }
  const counts: Accuracy = { correct: 0, scored: 0, rowsCorrect: 0, rowsScored: 0 };
  for (let start = 0; start < targets.length; start += length) {
    let correct = 0;
    let scored = 0;
    for (let i = start; i < start + length; i++) {
      if (targets[i] === IGNORED_TARGET) continue;
      scored++;
      if (predictions[i] === targets[i]) correct++;
    }
    counts.correct += correct;
    counts.scored += scored;
    counts.rowsScored += scored > 0 ? 1 : 0;
    counts.rowsCorrect += scored > 0 && correct === scored ? 1 : 0;
  }
  return counts;
}

/** Share of scored positions that are right; NaN where none is scored. */
export function accuracy(predictions: ArrayLike<number>, targets: ArrayLike<number>): number {
  const { correct, scored } = countCorrect(predictions, targets, Math.max(1, targets.length));
  return correct / scored;
}

/**
 * The likeliest token at each position, the first of equals.
 *
 * @param logits [rows, vocabSize]
 * @returns int32 [rows]
 */
export function argmax(logits: ArrayLike<number>, vocabSize: number): Int32Array {
  const out = new Int32Array(logits.length / vocabSize);
  for (let row = 0; row < out.length; row++) {
    let best = 0;
    for (let token = 1; token < vocabSize; token++) {
      if ((logits[row * vocabSize + token] ?? 0) > (logits[row * vocabSize + best] ?? 0)) best = token;
    }
    out[row] = best;
  }
  return out;
}
