// Loss and gradients of given weights on given tokens, for comparing implementations. (Training has programs of its own.)
import { buildLoss, buildObjective } from "../blocks/model.ts";
import { IGNORED_TARGET } from "../data/batches.ts";
import { makeGraph, parameterAttributes } from "../graph/graph.ts";
import { scalar } from "../graph/leaves.ts";
import { differentiate } from "../ops/gradients.ts";
import { finish, prepare } from "../ops/passes/optimise.ts";
import type { Buffer, HostArray, Runtime } from "../runtime/types.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { type WeightSource, weightOf } from "./create.ts";
import { ModelError } from "./error.ts";
import { prefixIds, withPrefix } from "./prefix.ts";

export interface LossGradients {
  /** Mean cross entropy in nats of each token given those before it. */
  readonly loss: number;
  /** By parameter, with its shape and layout; parameters that the loss does not depend on are left out. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/**
 * The loss of predicting each token of `tokens` [batch, length] from those before it, and its gradients; or those of the
 * objective, which is the loss and what keeps experts balanced.
 * @throws ModelError for missing weights or fewer than two tokens a row
 */
export async function lossAndGradients(
  spec: ArchitectureSpec,
  runtime: Runtime,
  weights: WeightSource,
  tokens: Int32Array,
  [batch, length]: readonly [number, number],
  of: "loss" | "objective" = "loss",
): Promise<LossGradients> {
  if (length < 2) throw new ModelError("a loss needs two tokens a row or more");
  const forward = prepare(of === "loss" ? buildLoss(spec) : buildObjective(spec));
  const outputOf = (wanted: string) => forward.outputs.find(({ name }) => name === wanted)?.tensor;
  const [loss, minimised] = [outputOf("loss"), outputOf(of)];
  if (loss === undefined || minimised === undefined) throw new ModelError(`${spec.name} has no ${of}`);
  const gradients = differentiate(
    [{ tensor: minimised, gradient: scalar(1) }],
    forward.parameters.map(({ tensor }) => tensor),
  );
  const wanted = forward.parameters.flatMap(({ name }, i) => {
    const tensor = gradients[i];
    return tensor === undefined ? [] : [{ name: `gradient.${name}`, parameter: name, tensor }];
  });
  const graph = finish(makeGraph({ outputs: [{ name: "loss", tensor: loss }, ...wanted] }));
  const buffers = new Map<string, Buffer>();
  try {
    for (const { name, tensor } of forward.parameters) {
      const data = await weightOf(weights, name);
      buffers.set(
        name,
        runtime.buffer({ shape: parameterAttributes(tensor).shape as readonly number[], dtype: "f32" }, data),
      );
    }
    const { prefix_tokens: prefix } = spec.embedding;
    const time = prefix + length;
    const program = await runtime.compile(graph, { bindings: { B: batch, T: time, C: time }, buffers });
    try {
      const inputs: Record<string, HostArray> = {
        tokens: withPrefix(tokens, length, prefixIds(spec, 1)),
        targets: withPrefix(nextTokens(tokens, length), length, new Int32Array(prefix).fill(IGNORED_TARGET)),
      };
      if (spec.positions !== null) inputs.positions = tokens.map((_, i) => i % length);
      const outputs = await program.run(inputs);
      return {
        loss: outputs.loss?.[0] ?? Number.NaN,
        gradients: new Map(wanted.map(({ name, parameter }) => [parameter, outputs[name] as Float32Array])),
      };
    } finally {
      program.free();
    }
  } finally {
    for (const buffer of buffers.values()) buffer.free();
  }
}

/** What each position is to predict: the next token, nothing at the end of a row. */
export function nextTokens(tokens: Int32Array, length: number): Int32Array {
  return tokens.map((_, i) => ((i + 1) % length === 0 ? IGNORED_TARGET : (tokens[i + 1] ?? IGNORED_TARGET)));
}
