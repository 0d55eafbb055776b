// Filling parameters before training. Every parameter draws from a stream of its own, named after it, so that adding a
// layer does not change the others.
import { Random } from "../data/random.ts";
import { parameterAttributes } from "../graph/graph.ts";
import type { Initialiser } from "../graph/leaves.ts";
import type { Graph } from "../graph/types.ts";

/** Values of one parameter, f32. */
export function initialise(shape: readonly number[], rule: Initialiser, random: Random): Float32Array {
  const values = new Float32Array(shape.reduce((n, d) => n * d, 1));
  const width = shape.at(-1) ?? 1;
  const logUniform = (low: number, high: number): number => Math.exp(random.uniform(Math.log(low), Math.log(high)));
  switch (rule.kind) {
    case "zeros":
      return values;
    case "ones":
      return values.fill(1);
    case "constant":
      return values.fill(rule.value);
    case "normal":
      return random.fillNormal(values, 0, rule.std);
    case "uniform":
      return random.fillUniform(values, rule.low, rule.high);
    case "log_arange":
      return values.map((_, i) => Math.log(1 + (i % width)));
    case "arange":
      return values.map((_, i) => rule.scale * (i % width));
    case "s4d_inverse":
      return values.map((_, i) => (width / Math.PI) * (width / (2 * (i % width) + 1) - 1));
    case "log_uniform_values":
      return values.map(() => Math.log(random.uniform(rule.low, rule.high)));
    case "log_uniform":
      return values.map(() => Math.log(logUniform(rule.low, rule.high)));
    case "inverse_softplus_log_uniform":
      return values.map(() => {
        const dt = Math.max(logUniform(rule.low, rule.high), rule.floor);
        return dt + Math.log(-Math.expm1(-dt));
      });
  }
}

/** Values of every parameter of a graph, by name. */
export function initialiseParameters(graph: Graph, seed: number): Map<string, Float32Array> {
  const random = Random.fromSeed(seed).split("parameters");
  return new Map(
    graph.parameters.map(({ name, tensor }) => {
      const { shape, initialiser } = parameterAttributes(tensor);
      return [name, initialise(shape as readonly number[], initialiser, random.split(name))] as const;
    }),
  );
}
