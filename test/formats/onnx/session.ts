// Runs an exported model in onnxruntime, call after call, carrying its states.
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { OnnxModel } from "../../../src/formats/onnx/model.ts";

// Without this onnxruntime refuses the newest opset.
process.env.ALLOW_RELEASED_ONNX_OPSET_ONLY = "0";

export class OnnxRun {
  readonly #session: InferenceSession;
  readonly #batch: number;
  readonly #states = new Map<string, Tensor>();
  readonly #model: OnnxModel;
  /** 1 for the tokens so far, 0 for those that are padding; by row. */
  #mask: number[][] = [];

  private constructor(session: InferenceSession, model: OnnxModel, batch: number) {
    this.#session = session;
    this.#batch = batch;
    this.#model = model;
    this.reset();
  }

  /** Back to before the first token. */
  reset(): void {
    this.#mask = Array.from({ length: this.#batch }, () => []);
    this.#states.clear();
    for (const { past, shape } of this.#model.states) {
      const dims = shape.map((dim) => (dim === "batch" ? this.#batch : dim === "past" ? 0 : Number(dim)));
      this.#states.set(past, new Tensor("float32", new Float32Array(dims.reduce((n, d) => n * d, 1)), dims));
    }
  }

  static async open(model: OnnxModel, batch: number): Promise<OnnxRun> {
    const options = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 } as const;
    return OnnxRun.over(await InferenceSession.create(model.encode(), options), model, batch);
  }

  static over(session: InferenceSession, model: OnnxModel, batch: number): OnnxRun {
    return new OnnxRun(session, model, batch);
  }

  /** Logits of rows of token ids; the first `padding[row]` tokens of a row are padding. */
  async forward(rows: readonly (readonly number[])[], padding: readonly number[] = []): Promise<Float32Array> {
    const length = rows[0]?.length ?? 0;
    const positions: number[] = [];
    for (const [row, mask] of this.#mask.entries()) {
      for (let t = 0; t < length; t++) {
        mask.push(t < (padding[row] ?? 0) ? 0 : 1);
        positions.push(Math.max(0, mask.reduce((n, m) => n + m, 0) - 1));
      }
    }
    const int64 = (values: readonly number[]): Tensor =>
      new Tensor("int64", BigInt64Array.from(values, BigInt), [this.#batch, values.length / this.#batch]);
    const all: Record<string, Tensor> = {
      input_ids: int64(rows.flat()),
      attention_mask: int64(this.#mask.flat()),
      position_ids: int64(positions),
      ...Object.fromEntries(this.#states),
    };
    const feed = Object.fromEntries(Object.entries(all).filter(([name]) => this.#session.inputNames.includes(name)));
    const results = await this.#session.run(feed);
    for (const { past, present } of this.#model.states) {
      const next = results[present];
      if (next === undefined) throw new Error(`no output ${present}`);
      this.#states.set(past, next as Tensor);
    }
    return results.logits?.data as Float32Array;
  }

  async close(): Promise<void> {
    await this.#session.release();
  }
}
