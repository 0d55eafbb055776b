// Small random checkpoints with the logits, losses and gradients that transformers computes for them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ImportedModel } from "../../../src/formats/huggingface/import.ts";
import { openHuggingFace } from "../../../src/formats/huggingface/node/folder.ts";
import { withSafetensorsFile } from "../../../src/formats/safetensors/node/file.ts";

const root = fileURLToPath(new URL("../../fixtures/hf/", import.meta.url));

export const cases: readonly string[] = readdirSync(root).sort();

export const folderOf = (name: string): string => join(root, name);

interface Meta {
  readonly model_type: string;
  readonly tolerance: {
    readonly logits_atol: number;
    readonly loss_atol: number;
    readonly grad_rtol_of_tensor_max: number;
    readonly grad_atol: number;
  };
  readonly stored_without_gradient: readonly string[];
}

export interface Case {
  readonly imported: ImportedModel;
  readonly meta: Meta;
  readonly batch: number;
  readonly length: number;
  readonly ids: Int32Array;
  /** f32 [batch, length, vocabulary] */
  readonly logits: Float32Array;
  close(): Promise<void>;
}

/** A case with its checkpoint open. */
export async function openCase(name: string): Promise<Case> {
  const folder = folderOf(name);
  const { imported, close } = await openHuggingFace(folder);
  const meta = JSON.parse(readFileSync(join(folder, "meta.json"), "utf8")) as Meta;
  const expected = await withSafetensorsFile(join(folder, "expected.safetensors"), async (file) => ({
    shape: file.info("input_ids").shape,
    ids: await file.readInt32("input_ids"),
    logits: await file.readFloat32("logits"),
  }));
  const [batch = 0, length = 0] = expected.shape;
  return { imported, meta, batch, length, ids: expected.ids, logits: expected.logits, close };
}

/** Columns from … to - 1 of `ids` [batch, length] as rows. */
export function rowsOf(
  { ids, batch, length }: Pick<Case, "ids" | "batch" | "length">,
  from = 0,
  to = length,
): Int32Array[] {
  return Array.from({ length: batch }, (_, row) => ids.slice(row * length + from, row * length + to));
}

/** Largest |a - b|; infinite where anything is not a number. */
export function largestError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let largest = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < a.length; i++) {
    const error = Math.abs((a[i] ?? 0) - (b[i] ?? 0));
    largest = Math.max(largest, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
  }
  return largest;
}
