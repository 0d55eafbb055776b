// Cases of test/fixtures/ops: inputs, upstream gradients, outputs and gradients computed in float64 PyTorch.
import { fileURLToPath } from "node:url";
import { withSafetensorsFile } from "../../src/formats/safetensors/node/file.ts";
import type { HostInput } from "./lowered.ts";

export interface FixtureCase {
  readonly name: string;
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Names of upstream gradients: `dy` for output `y`. */
  readonly upstream: readonly string[];
  /** Names of expected gradients: `grad.x` for input `x`. */
  readonly grads: readonly string[];
  /** Error allowed in a tensor, relative to its largest magnitude. */
  readonly tolerance: number;
  readonly tensors: ReadonlyMap<string, HostInput>;
}

type StoredCase = Omit<FixtureCase, "name" | "tolerance" | "tensors"> & { readonly rtol_of_tensor_max: number };

/** All cases of test/fixtures/ops/<op>.safetensors. */
export async function loadCases(op: string): Promise<FixtureCase[]> {
  const path = fileURLToPath(new URL(`../fixtures/ops/${op}.safetensors`, import.meta.url));
  return withSafetensorsFile(path, async (file) => {
    const stored = JSON.parse(file.metadata.cases ?? "{}") as Readonly<Record<string, StoredCase>>;
    return Promise.all(
      Object.entries(stored).map(async ([name, { rtol_of_tensor_max, ...rest }]) => {
        const tensors = new Map<string, HostInput>();
        for (const tensor of [...rest.inputs, ...rest.outputs, ...rest.upstream, ...rest.grads]) {
          const { dtype, shape } = file.info(`${name}/${tensor}`);
          const integer = dtype === "I32";
          const data = integer
            ? await file.readInt32(`${name}/${tensor}`)
            : await file.readFloat32(`${name}/${tensor}`);
          tensors.set(tensor, { shape, dtype: integer ? "i32" : "f32", data });
        }
        return { ...rest, name, tolerance: rtol_of_tensor_max, tensors };
      }),
    );
  });
}
