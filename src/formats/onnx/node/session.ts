// An exported model in onnxruntime, call after call: feeds tokens, mask, positions and the states that the last call gave. All
// that it needs to know it reads from the session's inputs.
import type { InferenceSession, Tensor } from "onnxruntime-node";
import { OnnxError } from "../error.ts";
import { dimensions } from "../states.ts";

/** What this file needs of onnxruntime: its tensors. */
export interface OnnxTensors {
  readonly Tensor: typeof Tensor;
}

/** The output under which the next value of a state comes. */
const presentOf = (past: string): string =>
  past.startsWith("past_key_values.") ? past.replace("past_key_values", "present") : past.replace("past_", "present_");

export class OnnxRun {
  readonly #tensors: OnnxTensors;
  readonly #session: InferenceSession;
  readonly #batch: number;
  readonly #states = new Map<string, Tensor>();
  /** 1 for the tokens so far, 0 for those that are padding; by row. */
  #mask: number[][] = [];

  /** @throws OnnxError for inputs that a model exported from here does not have. */
  constructor(tensors: OnnxTensors, session: InferenceSession, batch: number) {
    this.#tensors = tensors;
    this.#session = session;
    this.#batch = batch;
    this.reset();
  }

  /** Back to before the first token. @throws OnnxError as when the run began */
  reset(): void {
    const batch = this.#batch;
    this.#mask = Array.from({ length: batch }, () => []);
    this.#states.clear();
    for (const input of this.#session.inputMetadata) {
      if (!input.name.startsWith("past_")) continue;
      if (!input.isTensor || input.type !== "float32")
        throw new OnnxError(`the state "${input.name}" is no float32 tensor, so not of a model exported from here`);
      const dims = input.shape.map((dim) =>
        dim === dimensions.batch ? batch : dim === dimensions.past ? 0 : Number(dim),
      );
      const size = dims.reduce((product, dim) => product * dim, 1);
      this.#states.set(input.name, new this.#tensors.Tensor("float32", new Float32Array(size), dims));
    }
  }

  /**
   * Logits [batch, length or 1, vocabulary] of the next tokens of every row; the first `padding[row]` tokens of a row are
   * padding.
   */
  async forward(rows: readonly ArrayLike<number>[], padding: readonly number[] = []): Promise<Float32Array> {
    const length = rows[0]?.length ?? 0;
    const positions: number[] = [];
    for (const [row, mask] of this.#mask.entries()) {
      for (let t = 0; t < length; t++) {
        mask.push(t < (padding[row] ?? 0) ? 0 : 1);
        positions.push(Math.max(0, mask.reduce((n, m) => n + m, 0) - 1));
      }
    }
    const int64 = (values: readonly number[]): Tensor =>
      new this.#tensors.Tensor("int64", BigInt64Array.from(values, BigInt), [this.#batch, values.length / this.#batch]);
    const all: Record<string, Tensor> = {
      input_ids: int64(rows.flatMap((row) => Array.from(row))),
      attention_mask: int64(this.#mask.flat()),
      position_ids: int64(positions),
      ...Object.fromEntries(this.#states),
    };
    const feed = Object.fromEntries(Object.entries(all).filter(([name]) => this.#session.inputNames.includes(name)));
    const results = await this.#session.run(feed);
    for (const past of this.#states.keys()) {
      const next = results[presentOf(past)];
      if (next === undefined) throw new OnnxError(`the file has a state "${past}" and no output "${presentOf(past)}"`);
      this.#states.set(past, next as Tensor);
    }
    const logits = results.logits?.data;
    if (!(logits instanceof Float32Array)) throw new OnnxError(`the file has no output "logits" of float32 numbers`);
    return logits;
  }
}
