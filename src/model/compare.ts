// How far a model's logits, loss, gradients and greedy continuation are from expected ones.

import { storedValues } from "../formats/huggingface/copy.ts";
import type { StoredTensor } from "../formats/huggingface/plan.ts";
import type { Safetensors } from "../formats/safetensors/index.ts";
import type { WeightSource } from "./create.ts";
import { ModelError } from "./error.ts";
import { lossAndGradients } from "./gradients.ts";
import type { Model } from "./model.ts";

/** How far one tensor is off. */
export interface Comparison {
  readonly tensor: string;
  readonly shape: readonly number[];
  /** Largest |found − expected|. */
  readonly absolute: number;
  /** The same, divided by the largest |expected|. */
  readonly relative: number;
}

/** Errors of `found`; NaN anywhere makes both infinite. @throws ModelError for another size */
export function compareValues(
  tensor: string,
  shape: readonly number[],
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
): Comparison {
  if (found.length !== expected.length) {
    throw new ModelError(
      `${tensor}: ${found.length} values, but ${expected.length} [${shape.join(", ")}] are expected`,
    );
  }
  let absolute = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((found[i] ?? 0) - (expected[i] ?? 0));
    absolute =
      difference > absolute || Number.isNaN(difference)
        ? Number.isNaN(difference)
          ? Number.POSITIVE_INFINITY
          : difference
        : absolute;
    largest = Math.max(largest, Math.abs(expected[i] ?? 0));
  }
  return { tensor, shape, absolute, relative: absolute === 0 ? 0 : absolute / Math.max(largest, 1e-30) };
}

const GRADIENT = "grad.";

/** Names of the gradients in a file of expected values. */
export function gradientNames(expected: Safetensors): string[] {
  return [...expected.tensors.keys()]
    .filter((name) => name.startsWith(GRADIENT))
    .map((name) => name.slice(GRADIENT.length));
}

/**
 * Compares loss and gradients with `loss` and `grad.<name>` of `expected`, where names are those of parameters or of stored
 * tensors.
 *
 * @param stored tensors of the checkpoint that the model came from, by name
 * @throws ModelError for a gradient of something that the model does not have
 */
export async function compareGradients(
  model: Pick<Model, "spec" | "runtime">,
  weights: WeightSource,
  ids: Int32Array,
  size: readonly [batch: number, length: number],
  expected: Safetensors,
  stored: ReadonlyMap<string, StoredTensor>,
): Promise<Comparison[]> {
  const { loss, gradients } = await lossAndGradients(model.spec, model.runtime, weights, ids, size);
  const comparisons: Comparison[] = [];
  if (expected.tensors.has("loss")) {
    comparisons.push(compareValues("loss", [], [loss], await expected.readFloat32("loss")));
  }
  for (const name of gradientNames(expected)) {
    const tensor = stored.get(name);
    const found = tensor === undefined ? gradients.get(name) : await storedValues(tensor, gradients);
    if (found === undefined) throw new ModelError(`${expected.name}: ${GRADIENT}${name}: the model has no such weight`);
    const { shape } = expected.info(`${GRADIENT}${name}`);
    comparisons.push(
      compareValues(`${GRADIENT}${name}`, shape, found, await expected.readFloat32(`${GRADIENT}${name}`)),
    );
  }
  return comparisons;
}
