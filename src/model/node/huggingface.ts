// Converting folders: a checkpoint to a model of ours, and back. Tensors are streamed from file to file.
import { copyFile, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { INDEX_FILE } from "../../formats/huggingface/checkpoint.ts";
import { differences } from "../../formats/huggingface/differences.ts";
import { type Export, type ExportOptions, exportCheckpoint, type Fit } from "../../formats/huggingface/export.ts";
import {
  convertConfig,
  type ImportedModel,
  type ImportOptions,
  parameterShapes,
} from "../../formats/huggingface/import.ts";
import { formatConfigJson, parseConfigJson } from "../../formats/huggingface/json.ts";
import { CONFIG_FILE, openCheckpoint, openHuggingFace } from "../../formats/huggingface/node/folder.ts";
import { planWeights, type StoredTensor } from "../../formats/huggingface/plan.ts";
import { writeTextAtomic } from "../../formats/node/atomic-file.ts";
import { makeFolderAtomic } from "../../formats/node/atomic-folder.ts";
import { viewAs } from "../../formats/safetensors/dtype.ts";
import type { FloatDtype } from "../../formats/safetensors/index.ts";
import { writeSafetensorsFile } from "../../formats/safetensors/node/file.ts";
import { stringifySpec } from "../../spec/load.ts";
import type { ArchitectureSpec } from "../../spec/types.ts";
import { ARCHITECTURE_FILE, WEIGHTS_FILE, weightsMetadata } from "../files.ts";

/** config.json of a model that was imported, kept for the way back. */
export const ORIGINAL_CONFIG_FILE = "huggingface_config.json";

/** Files about text that belong to a checkpoint. */
const TEXT_FILES = [
  ...["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model"],
  ...["vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json", "generation_config.json"],
] as const;

/** Copies those of them that the folder `from` has; returns their names. */
export async function copyTextFiles(from: string, to: string): Promise<string[]> {
  const copied: string[] = [];
  for (const name of TEXT_FILES) {
    const status = await stat(join(from, name)).catch(() => undefined);
    if (status?.isFile() !== true) continue;
    await copyFile(join(from, name), join(to, name));
    copied.push(name);
  }
  return copied;
}

export interface ImportResult {
  readonly imported: ImportedModel;
  readonly textFiles: readonly string[];
}

/**
 * Writes the model in the checkpoint's folder `from` as a folder `to` that `loadModel` opens: architecture.yaml, the weights
 * by our names, the tokenizer. `to` appears when all is done, or not at all.
 *
 * @param dtype type of the weights; default: as they are stored
 */
export async function importFolder(
  from: string,
  to: string,
  options: Partial<ImportOptions> & { readonly dtype?: FloatDtype | undefined } = {},
): Promise<ImportResult> {
  const { dtype, ...rest } = options;
  const { imported, close } = await openHuggingFace(from, rest);
  try {
    return await makeFolderAtomic(to, async (folder) => {
      const tensors = [...imported.shapes].map(([name, shape]) => {
        const own = dtype ?? imported.dtype(name);
        async function* data(): AsyncGenerator<ArrayBufferView> {
          for await (const bytes of imported.rows(name, own)) yield viewAs(bytes, own);
        }
        return { name, dtype: own, shape, data };
      });
      await writeSafetensorsFile(join(folder, WEIGHTS_FILE), tensors, weightsMetadata(imported.spec));
      await writeTextAtomic(join(folder, ARCHITECTURE_FILE), stringifySpec(imported.spec));
      await writeTextAtomic(join(folder, ORIGINAL_CONFIG_FILE), formatConfigJson(imported.config));
      return { imported, textFiles: await copyTextFiles(from, folder) };
    });
  } finally {
    await close();
  }
}

/** config.json that the model in `folder` was imported from; undefined for one that was not. */
export async function originalConfig(folder: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const path = join(folder, ORIGINAL_CONFIG_FILE);
  const text = await readFile(path, "utf8").catch(() => undefined);
  return text === undefined ? undefined : parseConfigJson(text, path);
}

/**
 * The tensors of the checkpoint that the model in `folder` was imported from, by every name that they may have there. Empty
 * for a model that was not imported, or whose architecture has been changed since.
 */
export async function originalTensors(
  folder: string,
  spec: ArchitectureSpec,
): Promise<ReadonlyMap<string, StoredTensor>> {
  const config = await originalConfig(folder);
  if (config === undefined) return new Map();
  const {
    table,
    stack,
    spec: original,
  } = convertConfig(config, join(folder, ORIGINAL_CONFIG_FILE), { name: spec.name });
  if (differences(spec, original).length > 0) return new Map();
  const shapes = parameterShapes(original);
  const plans = table.prefixes.map((prefix) => planWeights(table, prefix, stack, original.layers, shapes));
  const tensors = plans.flatMap(({ entries }) => entries.flat(2));
  return new Map(tensors.flatMap((tensor) => tensor.names.map((name): [string, StoredTensor] => [name, tensor])));
}

/**
 * Writes the model in the folder `from` as a checkpoint `to` that transformers opens.
 * @throws HuggingFaceError where its weights do not fit its architecture
 */
export async function exportFolder(
  from: string,
  to: string,
  spec: ArchitectureSpec,
  fit: Fit,
  options: ExportOptions,
): Promise<{ readonly written: Export; readonly textFiles: readonly string[] }> {
  const { checkpoint, close } = await openCheckpoint(from);
  try {
    const written = exportCheckpoint(spec, fit, checkpoint, options);
    return await makeFolderAtomic(to, async (folder) => {
      for (const { name, tensors } of written.files) {
        await writeSafetensorsFile(join(folder, name), tensors, { format: "pt" });
      }
      if (written.index !== undefined) {
        await writeTextAtomic(join(folder, INDEX_FILE), `${JSON.stringify(written.index, null, 2)}\n`);
      }
      await writeTextAtomic(join(folder, CONFIG_FILE), formatConfigJson(written.config));
      return { written, textFiles: await copyTextFiles(from, folder) };
    });
  } finally {
    await close();
  }
}
