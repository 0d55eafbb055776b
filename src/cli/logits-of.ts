// Logits of token ids that come from a file, computed in one pass or in pieces with a state.
import { InvalidArgumentError } from "commander";
import { withSafetensorsFile } from "../formats/safetensors/node/file.ts";
import type { ForwardResult, Model } from "../model/model.ts";
import { InputError } from "./program.ts";

/** Tokens of one call; null: all at once, without a state. */
export interface ComputeMode {
  readonly chunk: number | null;
}

export interface TokenTable {
  readonly batch: number;
  readonly length: number;
  /** [batch, length], row-major. */
  readonly ids: Int32Array;
}

/** full, step or chunks:N. */
export function parseMode(text: string): ComputeMode {
  if (text === "full") return { chunk: null };
  if (text === "step") return { chunk: 1 };
  const chunk = Number(/^chunks:(\d{1,9})$/.exec(text)?.[1] ?? 0);
  if (chunk < 1)
    throw new InvalidArgumentError(`"${text}" is not allowed; allowed: full, step, chunks:N with N from 1.`);
  return { chunk };
}

/** `input_ids` of a safetensors file: [batch, length], or [length] for one row. */
export async function readTokens(path: string): Promise<TokenTable> {
  return withSafetensorsFile(path, async (file) => {
    const { shape } = file.info("input_ids");
    const [batch, length] = shape.length === 1 ? [1, shape[0]] : shape;
    if (batch === undefined || length === undefined || shape.length > 2 || batch * length === 0) {
      throw new InputError(
        `${path}: input_ids is [${shape.join(", ")}]; allowed: [batch, length] or [length], not empty`,
      );
    }
    return { batch, length, ids: await file.readInt32("input_ids") };
  });
}

/** Logits f32 [batch, length, vocabulary]. */
export async function computeLogits(model: Model, tokens: TokenTable, { chunk }: ComputeMode): Promise<ForwardResult> {
  const { batch, length, ids } = tokens;
  const rows = (from: number, to: number): Int32Array[] =>
    Array.from({ length: batch }, (_, row) => ids.slice(row * length + from, row * length + to));
  if (chunk === null) return model.forward(rows(0, length));
  const width = model.spec.vocab_size;
  const logits = new Float32Array(batch * length * width);
  const state = model.createState(batch, { context: length });
  for (let from = 0; from < length; from += chunk) {
    const to = Math.min(length, from + chunk);
    const part = await model.forward(rows(from, to), { state });
    const size = (to - from) * width;
    for (let row = 0; row < batch; row++) {
      logits.set(part.logits.subarray(row * size, (row + 1) * size), (row * length + from) * width);
    }
  }
  return { logits, shape: [batch, length, width] };
}
