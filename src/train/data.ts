// From a run's configuration and its texts to what training consumes: a source of batches, fixed evaluation batches,
// and what is needed to say the loss in bits per byte.
import { type Batch, type BatchSource, evaluationBatches, textBatches } from "../data/batches.ts";
import { Random } from "../data/random.ts";
import { taskBatches } from "../data/tasks/index.ts";
import { type Document, packTokens, splitTokens, type TokenArray, tokenizeDocuments } from "../data/text.ts";
import { requireVocabulary, type Tokenizer } from "../data/tokenizer.ts";
import type { RunConfig, TaskData, TextData } from "./config.ts";

/** The data of a run, ready for training. */
export interface RunData {
  /** undefined for tasks. */
  readonly tokenizer: Tokenizer | undefined;
  /** Batches to train on; its position goes into checkpoints. */
  readonly training: BatchSource;
  /** The same batches at every evaluation; targets that are not scored are left out of loss and accuracy. */
  readonly evaluation: readonly Batch[];
  /** Tokens to train on; undefined for tasks, whose examples are endless. */
  readonly trainingTokens: number | undefined;
  /** Held-out tokens, their number and the bytes of their text; undefined for tasks. */
  readonly heldOut: { readonly stream: TokenArray; readonly tokens: number; readonly bytes: number } | undefined;
}

/** Texts of a run: all documents, and the held-out ones where they come from files of their own. */
export interface RunTexts {
  readonly tokenizer: Tokenizer;
  readonly documents: readonly Document[];
  readonly validation?: readonly Document[];
}

/**
 * The data of a run on text. Throws DataError for texts that are empty or too short, or a vocabulary over the model's.
 */
export function textRunData(config: RunConfig, data: TextData, texts: RunTexts): RunData {
  const { tokenizer } = texts;
  requireVocabulary(tokenizer, config.architecture.vocab_size, config.architecture.name);
  const { train, validation } = divide(data, texts);
  const shape = { batch: config.batch_size, length: config.sequence_length };
  const random = Random.fromSeed(config.seed).split("data");
  return {
    tokenizer,
    training: textBatches(train, { ...shape, order: data.order, random, name: "the training data" }),
    evaluation: evaluationBatches(validation, { ...shape, batches: config.eval.batches, name: "the held-out data" }),
    trainingTokens: train.length,
    heldOut: { stream: validation, tokens: validation.length, bytes: byteLength(validation, tokenizer) },
  };
}

function divide(data: TextData, texts: RunTexts): { train: TokenArray; validation: TokenArray } {
  const documents = tokenizeDocuments(texts.documents, texts.tokenizer);
  if ("files" in data.validation) {
    const validation = tokenizeDocuments(texts.validation ?? [], texts.tokenizer);
    return { train: packTokens(documents), validation: packTokens(validation) };
  }
  return splitTokens(documents, data.validation);
}

function byteLength(tokens: TokenArray, tokenizer: Tokenizer): number {
  if (tokenizer.vocabSize === 256 && tokenizer.name === "bytes") return tokens.length;
  return new TextEncoder().encode(tokenizer.decode(tokens)).byteLength;
}

/** The data of a run on a task: fresh examples for training, and fixed ones that training does not see. */
export function taskRunData(config: RunConfig, { task }: TaskData): RunData {
  const shape = { batch: config.batch_size, length: config.sequence_length };
  const random = Random.fromSeed(config.seed);
  const evaluation = taskBatches(task, { ...shape, random: random.split("evaluation") });
  return {
    tokenizer: undefined,
    training: taskBatches(task, { ...shape, random: random.split("data") }),
    evaluation: Array.from({ length: config.eval.batches }, () => evaluation.next()),
    trainingTokens: undefined,
    heldOut: undefined,
  };
}

/**
 * Cross entropy in bits per byte of text, which compares across tokenizers and with compressors.
 *
 * @param loss mean nats per token
 */
export function bitsPerByte(loss: number, heldOut: { readonly tokens: number; readonly bytes: number }): number {
  return ((loss / Math.LN2) * heldOut.tokens) / heldOut.bytes;
}
