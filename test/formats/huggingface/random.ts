// Checkpoints with random weights, made of nothing but a configuration: all tensors that the family says it has.
import { Checkpoint } from "../../../src/formats/huggingface/checkpoint.ts";
import {
  convertConfig,
  type ImportedModel,
  importCheckpoint,
  parameterShapes,
} from "../../../src/formats/huggingface/import.ts";
import { formatConfigJson } from "../../../src/formats/huggingface/json.ts";
import { planWeights, type StoredTensor } from "../../../src/formats/huggingface/plan.ts";
import { encodeSafetensors, memorySource, type TensorToWrite } from "../../../src/formats/safetensors/index.ts";
import { generator } from "../../ops/harness.ts";

export type Config = Readonly<Record<string, unknown>>;

/** The tensors of a checkpoint of this configuration, as they would be written. */
export function tensorsOf(config: Config): StoredTensor[] {
  const { table, stack, spec } = convertConfig(config, "config.json", { name: "random" });
  const [prefix = ""] = table.prefixes;
  const plan = planWeights(table, prefix, stack, spec.layers, parameterShapes(spec));
  return plan.entries.flatMap(([written = []]) => written);
}

/** Values that keep activations lively: small matrices, norms near one, slow decays. */
export function randomTensors(config: Config, seed = 1): TensorToWrite[] {
  const draw = generator(seed);
  return tensorsOf(config).map(({ names: [name = ""], shape }) => {
    const size = shape.reduce((product, length) => product * length, 1);
    const spread = shape.length > 1 ? 0.6 / Math.sqrt(shape.at(-1) ?? 1) : 0.3;
    return { name, dtype: "F32", shape, data: Float32Array.from({ length: size }, () => (draw() * 2 - 1) * spread) };
  });
}

export async function checkpointOf(tensors: readonly TensorToWrite[]): Promise<Checkpoint> {
  const bytes = await encodeSafetensors(tensors);
  return Checkpoint.open("memory", new Map([["model.safetensors", memorySource(bytes)]]));
}

/** A configuration and tensors, imported. */
export async function importTensors(config: Config, tensors: readonly TensorToWrite[]): Promise<ImportedModel> {
  return importCheckpoint(formatConfigJson(config), "config.json", await checkpointOf(tensors), { name: "random" });
}
