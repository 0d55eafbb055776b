// What an exported model must compute: tokens and the logits that our own runtime gives for them, kept beside the model so that it
// can be verified anywhere, without the weights that it was made from.
import { SafetensorsError } from "../../safetensors/index.ts";
import { withSafetensorsFile, writeSafetensorsFile } from "../../safetensors/node/file.ts";

export const EXPECTED_FILE = "hybraid_expected.safetensors";

/** Tokens read in one call, long enough that recurrences in chunks meet the end of one; then so many singly. */
const PROMPT = 70;
const STEPS = 8;
/** The second row begins so much later. */
const PADDING = 3;
/** Of a large vocabulary, every n-th logit is kept, so that at most so many are. */
const MOST_COLUMNS = 1024;

export interface Expected {
  /** Of the architecture that they belong to. */
  readonly specHash: string;
  /** Two rows of token ids; the first `padding` of the second are to be padding. */
  readonly rows: readonly [Int32Array, Int32Array];
  readonly padding: number;
  /** How many tokens are read in one call before the others come singly. */
  readonly prompt: number;
  /** Which logits are kept. */
  readonly columns: Int32Array;
  /** [2, length, columns]; nothing where a token is padding. */
  readonly logits: Float32Array;
  /** [2, length]: the likeliest token, of the whole vocabulary. */
  readonly top: Int32Array;
  /** The largest logit's absolute value. */
  readonly largest: number;
}

/** Logits f32 [length, vocabulary] of a sequence. */
export type ComputeLogits = (tokens: Int32Array) => Promise<Float32Array>;

/**
 * Has logits of random tokens computed.
 * @param longest most tokens that the model reads
 */
export async function computeExpected(
  specHash: string,
  vocabulary: number,
  longest: number,
  compute: ComputeLogits,
): Promise<Expected> {
  const length = Math.min(PROMPT + STEPS, longest);
  const prompt = length - Math.min(STEPS, length - 1);
  const padding = Math.min(PADDING, prompt - 1);
  let seed = 1;
  const draw = (): number => {
    // Park and Miller's generator.
    seed = (seed * 48271) % 2147483647;
    return seed % vocabulary;
  };
  const rows = [Int32Array.from({ length }, draw), Int32Array.from({ length }, draw)] as const;
  const stride = Math.ceil(vocabulary / MOST_COLUMNS);
  const columns = Int32Array.from({ length: Math.ceil(vocabulary / stride) }, (_, i) => i * stride);
  const logits = new Float32Array(2 * length * columns.length);
  const top = new Int32Array(2 * length);
  let largest = 0;
  for (const [row, tokens] of rows.entries()) {
    const start = row === 1 ? padding : 0;
    const own = await compute(tokens.subarray(start));
    for (let t = start; t < length; t++) {
      const values = own.subarray((t - start) * vocabulary, (t - start + 1) * vocabulary);
      top[row * length + t] = likeliest(values);
      for (const [i, column] of columns.entries())
        logits[(row * length + t) * columns.length + i] = values[column] as number;
      for (const value of values) largest = Math.max(largest, Math.abs(value));
    }
  }
  return { specHash, rows, padding, prompt, columns, logits, top, largest };
}

/** Index of the largest value. */
export function likeliest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}

export async function writeExpected(expected: Expected, path: string): Promise<void> {
  const { rows, columns, logits, top, specHash, padding, prompt, largest } = expected;
  const length = rows[0].length;
  const ids = Int32Array.from([...rows[0], ...rows[1]]);
  await writeSafetensorsFile(
    path,
    [
      { name: "input_ids", dtype: "I32", shape: [2, length], data: ids },
      { name: "columns", dtype: "I32", shape: [columns.length], data: columns },
      { name: "logits", dtype: "F32", shape: [2, length, columns.length], data: logits },
      { name: "top", dtype: "I32", shape: [2, length], data: top },
    ],
    {
      format: "hybraid_expected",
      spec_hash: specHash,
      padding: String(padding),
      prompt: String(prompt),
      largest: String(largest),
    },
  );
}

/** @throws SafetensorsError for a file that is not there, damaged or of another kind */
export async function readExpected(path: string): Promise<Expected> {
  return withSafetensorsFile(path, async (file) => {
    const { format, spec_hash: specHash = "", padding, prompt, largest } = file.metadata;
    if (format !== "hybraid_expected") throw new SafetensorsError(path, "not what an export expects of its model");
    const ids = await file.readInt32("input_ids");
    const length = ids.length / 2;
    return {
      specHash,
      rows: [ids.subarray(0, length), ids.subarray(length)],
      padding: Number(padding),
      prompt: Number(prompt),
      largest: Number(largest),
      columns: await file.readInt32("columns"),
      logits: await file.readFloat32("logits"),
      top: await file.readInt32("top"),
    };
  });
}
