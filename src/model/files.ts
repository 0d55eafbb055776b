// A saved model: the architecture as YAML text and the weights as a safetensors file. Folders are in node/files.ts; here is
// what they hold, so that a browser can keep it where it likes.
import { buildForward } from "../blocks/model.ts";
import { openSafetensors, type RandomAccessSource, type TensorToWrite } from "../formats/safetensors/index.ts";
import { stringifySpec } from "../spec/load.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import type { WeightSource } from "./create.ts";
import { ModelError } from "./error.ts";
import { specHash } from "./hash.ts";
import type { Model } from "./model.ts";

export const ARCHITECTURE_FILE = "architecture.yaml";
export const WEIGHTS_FILE = "model.safetensors";

/** The tensors and metadata of a weights file. */
export async function encodeWeights(model: Model): Promise<{
  readonly architecture: string;
  readonly tensors: TensorToWrite[];
  readonly metadata: Record<string, string>;
}> {
  const weights = await model.weights();
  return {
    architecture: stringifySpec(model.spec),
    tensors: [...weights].map(([name, { shape, data }]) => ({ name, dtype: "F32", shape, data })),
    metadata: weightsMetadata(model.spec),
  };
}

/** What a weights file says about the architecture that it belongs to. */
export function weightsMetadata(spec: ArchitectureSpec): Record<string, string> {
  return { format: "hybraid_model", version: "1", spec_hash: specHash(spec) };
}

/**
 * The weights of `spec` in an open file. They are read when they are asked for, converted to float32 from whatever
 * floating-point type they are stored in.
 * @throws ModelError when the file belongs to another architecture, SafetensorsError when it is damaged or holds integers.
 */
export async function openWeights(source: RandomAccessSource, spec: ArchitectureSpec): Promise<WeightSource> {
  const file = await openSafetensors(source);
  const hash = file.metadata.spec_hash;
  if (file.metadata.format === "hybraid_model" && hash !== specHash(spec)) {
    throw new ModelError(
      `${source.name}: the weights belong to an architecture with hash ${hash}, ${spec.name} has ${specHash(spec)}`,
    );
  }
  const shapes = new Map(
    buildForward(spec, { stateful: true }).parameters.map(({ name, tensor }) => [name, tensor.shape.join(", ")]),
  );
  for (const { name, shape } of file.tensors.values()) {
    const expected = shapes.get(name);
    if (expected !== undefined && shape.join(", ") !== expected) {
      throw new ModelError(
        `${source.name}: weight "${name}" is [${shape.join(", ")}], ${spec.name} takes [${expected}]`,
      );
    }
  }
  return {
    keys: () => file.tensors.keys(),
    get: (name) => (file.tensors.has(name) ? file.readFloat32(name) : undefined),
  };
}
