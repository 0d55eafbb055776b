// The standard pipeline of passes between building a graph and planning it.

import type { ConstantAttributes } from "../../graph/leaves.ts";
import { foldConstants, mergeCommonSubexpressions } from "../../graph/optimise.ts";
import type { Graph } from "../../graph/types.ts";
import { computeReference } from "../references.ts";
import type { HostTensor } from "../types.ts";
import { checkpointLayers } from "./checkpoint.ts";
import { fuseKernels } from "./fuse-kernels.ts";
import { fuseMaps } from "./fuse-maps.ts";

/** Folds constants by the reference implementations. */
export function foldByReference(graph: Graph): Graph {
  return foldConstants(graph, (node, inputs) => {
    const values = inputs.map((tensor): HostTensor => {
      const { shape, dtype, values: numbers } = tensor.node.attributes as ConstantAttributes;
      return { shape, dtype, data: dtype === "i32" ? Int32Array.from(numbers) : Float64Array.from(numbers) };
    });
    const [result] = computeReference(node, values, node.attributes);
    return result === undefined ? undefined : Array.from(result.data);
  });
}

/** Named-kernel fusions for a graph that will be differentiated: what they make has gradients. */
export function prepare(graph: Graph): Graph {
  return fuseKernels(mergeCommonSubexpressions(foldByReference(graph)));
}

/**
 * Everything that may be done once no more gradients are wanted: elementwise fusion last. With `checkpoint` (the name of
 * the loss), layers are recomputed in the backward pass.
 */
export function finish(graph: Graph, { checkpoint }: { readonly checkpoint?: string | undefined } = {}): Graph {
  const merged = mergeCommonSubexpressions(foldByReference(graph));
  return fuseMaps(checkpoint === undefined ? merged : checkpointLayers(merged, checkpoint));
}

/** The whole pipeline, for graphs without a backward pass. */
export function optimise(graph: Graph): Graph {
  return finish(prepare(graph));
}
