// Computes once, when a model's weights will not change, what its graphs compute from weights alone.
import type { Graph } from "../graph/types.ts";
import { foldParameters } from "../ops/passes/fold-parameters.ts";
import { finish } from "../ops/passes/optimise.ts";
import type { Buffer, Runtime } from "../runtime/types.ts";

/**
 * The graph without the computations that depend on weights only; their results are added to `folded`, where those of other
 * graphs with the same weights are found again.
 */
export async function foldWeights(
  graph: Graph,
  runtime: Runtime,
  weights: ReadonlyMap<string, Buffer>,
  folded: Map<string, Buffer>,
): Promise<Graph> {
  const { graph: rest, prologue } = foldParameters(graph);
  if (prologue === undefined) return graph;
  const program = await runtime.compile(finish(prologue), { bindings: { B: 1, T: 1, C: 1 }, buffers: weights });
  try {
    const wanted = prologue.outputs.filter(({ name }) => !folded.has(name));
    const results = await program.run(
      {},
      wanted.map(({ name }) => name),
    );
    for (const { name, tensor } of wanted) {
      const { dtype } = tensor;
      folded.set(name, runtime.buffer({ shape: tensor.shape as readonly number[], dtype }, results[name]));
    }
  } finally {
    program.free();
  }
  return rest;
}
