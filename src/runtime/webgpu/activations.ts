// Which values of a program are kept as halves where that is asked for: what layers hand to each other. What sums up over many
// tokens or layers stays f32: states, the residual stream, what goes through exponentials (decays, Δ), results and gradients.
import type { Plan } from "../../graph/plan.ts";
import type { Graph, Tensor } from "../../graph/types.ts";

/** Ops whose first output may be a half. */
const makers = new Set([
  "attention",
  "causal_conv",
  "concat",
  "expert_matmul",
  "layer_norm",
  "linear_attention",
  "long_convolution",
  "map",
  "matmul",
  "rg_lru",
  "rms_norm",
  "rope",
  "selective_scan",
  "slice",
  "transpose",
  "wkv",
]);

/** Inputs that must not be halves, by op. */
const exact: Readonly<Record<string, readonly number[]>> = {
  // Decay and beta.
  linear_attention: [3, 4],
  // Delta.
  selective_scan: [1],
  // The decay.
  rg_lru: [1],
  // Keys, decay and bonus.
  wkv: [0, 2, 3],
  // Logits that decide which experts are chosen.
  top_k: [0],
  // What is summed is rounded to its last bit by every layer.
  rms_norm: [3],
  layer_norm: [3],
};

/** Requests of the plan (arena blocks) all of whose tensors may be halves. Graphs with gradients have none. */
export function halfRequests(graph: Graph, layout: Plan): Set<number> {
  const none = new Set<number>();
  if (graph.nodes.some(({ op }) => op.name.endsWith("_gradient") || op.name === "adamw")) return none;
  const requestOf = (tensor: Tensor | undefined): number | undefined => {
    const place = tensor && layout.storage.get(tensor);
    return place?.kind === "arena" ? place.request : undefined;
  };
  const candidates = new Set<number>();
  const refused = new Set<number | undefined>();
  for (const { op, inputs, outputs } of graph.nodes) {
    if (op.leaf !== undefined || op.view) continue;
    for (const output of outputs) {
      const request = requestOf(output);
      if (request === undefined) continue;
      if (makers.has(op.name) && output.index === 0 && output.dtype === "f32") candidates.add(request);
      else refused.add(request);
    }
    for (const index of exact[op.name] ?? []) refused.add(requestOf(inputs[index]));
  }
  for (const { tensor } of graph.outputs) refused.add(requestOf(tensor));
  for (const { from } of layout.copies) refused.add(requestOf(from));
  return new Set([...candidates].filter((request) => !refused.has(request)));
}
