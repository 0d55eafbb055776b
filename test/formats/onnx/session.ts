// Runs an exported model in onnxruntime, from memory or from a session that is there.
import * as ort from "onnxruntime-node";
import type { OnnxModel } from "../../../src/formats/onnx/model.ts";
import { OnnxRun as Run } from "../../../src/formats/onnx/node/session.ts";

// Without this onnxruntime refuses the newest opset.
process.env.ALLOW_RELEASED_ONNX_OPSET_ONLY = "0";

export class OnnxRun extends Run {
  readonly #session: ort.InferenceSession;
  readonly #batch: number;

  private constructor(session: ort.InferenceSession, batch: number) {
    super(ort, session, batch);
    this.#session = session;
    this.#batch = batch;
  }

  /** The same model before its first token. */
  again(): OnnxRun {
    return new OnnxRun(this.#session, this.#batch);
  }

  static async open(model: OnnxModel, batch: number): Promise<OnnxRun> {
    const options = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 } as const;
    return OnnxRun.over(await ort.InferenceSession.create(model.encode(), options), model, batch);
  }

  static over(session: ort.InferenceSession, _model: OnnxModel, batch: number): OnnxRun {
    return new OnnxRun(session, batch);
  }

  async close(): Promise<void> {
    await this.#session.release();
  }
}
