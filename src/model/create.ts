// How a model comes about: its options, its runtime, and the buffers of weights that are given or freshly drawn.
import { buildForward } from "../blocks/model.ts";
import { parameterAttributes } from "../graph/graph.ts";
import { sizeOf } from "../graph/shape.ts";
import type { Graph, Tensor } from "../graph/types.ts";
import { createRuntime, type Device, type RuntimeOptions } from "../runtime/index.ts";
import type { Buffer, Runtime, WeightStorage } from "../runtime/types.ts";
import { forLength } from "../spec/length.ts";
import { loadSpec } from "../spec/load.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { ModelError } from "./error.ts";
import { initialiseParameters } from "./initialise.ts";
import { Model } from "./model.ts";

/** Weights by parameter name. A Map is one; a file can be one without being read as a whole. */
export interface WeightSource {
  keys(): Iterable<string>;
  get(name: string): Float32Array | undefined | Promise<Float32Array | undefined>;
}

/** The values of a weight. @throws ModelError where there are none */
export async function weightOf(weights: WeightSource, name: string): Promise<Float32Array> {
  const values = await weights.get(name);
  if (values === undefined) throw new ModelError(`weight "${name}" is missing`);
  return values;
}

export interface ModelOptions {
  /** Default auto. */
  readonly device?: Device;
  /** Threads of the wasm runtime. */
  readonly threads?: number | undefined;
  /** webgpu: how values in flight are kept, see RuntimeOptions. */
  readonly activations?: RuntimeOptions["activations"];
  /** How matrices are kept in memory, f32 by default; the narrower types need webgpu. */
  readonly weightStorage?: WeightStorage | undefined;
  /** Tokens of the longest sequence, for rotary positions that are stretched by it; default what the architecture says. */
  readonly sequenceLength?: number;
  /** Seed of the initial weights; default 0. */
  readonly seed?: number;
  /** Weights by parameter name, instead of initial ones: a Map, or whatever reads them one by one. */
  readonly weights?: WeightSource;
  /** Use this runtime (and do not close it with the model). */
  readonly runtime?: Runtime;
  /** Use these buffers of `runtime` as weights (a model in training): nothing is copied. */
  readonly buffers?: ReadonlyMap<string, Buffer>;
}

/** Parameters whose every use is as b of a matmul [N, K], as an embedding table or as experts [E, N, K]: they may be packed for the GEMM. */
export function packableParameters(graph: Graph): Set<string> {
  const uses = new Map<Tensor, boolean>();
  for (const node of graph.nodes) {
    for (const [i, tensor] of node.inputs.entries()) {
      if (tensor === undefined || tensor.node.op.leaf !== "parameter") continue;
      const product = node.op.name === "matmul" && i === 1 && (node.attributes as { transposeB: boolean }).transposeB;
      const table = node.op.name === "gather" && i === 0;
      const experts =
        node.op.name === "expert_matmul" && i === 1 && !(node.attributes as { transposed: boolean }).transposed;
      uses.set(tensor, (uses.get(tensor) ?? true) && (product || table || experts));
    }
  }
  return new Set(
    graph.parameters.filter(({ tensor }) => uses.get(tensor) === true && tensor.shape.length >= 2).map((p) => p.name),
  );
}

/**
 * A model of an architecture (a resolved spec, or YAML text) with the given or freshly drawn weights.
 * @throws SpecError for a bad YAML text, ModelError for weights that do not fit.
 */
export async function createModel(architecture: ArchitectureSpec | string, options: ModelOptions = {}): Promise<Model> {
  const written = typeof architecture === "string" ? loadSpec(architecture) : architecture;
  const spec = forLength(written, options.sequenceLength ?? 0);
  const { device = "auto", threads, activations, seed = 0, buffers, weightStorage = "f32" } = options;
  const runtime = options.runtime ?? (await createRuntime(device, { threads, activations }));
  const ownsRuntime = options.runtime === undefined;
  if (weightStorage !== "f32" && runtime.name !== "webgpu") {
    if (ownsRuntime) await runtime.close();
    throw new ModelError(`weights as ${weightStorage} need webgpu; ${runtime.name} keeps them as f32`);
  }
  if (buffers !== undefined) return new Model(spec, runtime, buffers, { runtime: ownsRuntime, buffers: false });
  try {
    const graph = buildForward(spec, { stateful: true });
    const weights = options.weights ?? initialiseParameters(graph, seed);
    const packable = packableParameters(graph);
    const made = new Map<string, Buffer>();
    const unknown = [...weights.keys()].filter((name) => !graph.parameters.some((p) => p.name === name));
    if (unknown.length > 0) throw new ModelError(`${spec.name} has no parameters ${unknown.slice(0, 8).join(", ")}`);
    for (const { name, tensor } of graph.parameters) {
      const { shape, dtype } = parameterAttributes(tensor);
      const size = sizeOf(shape as readonly number[]);
      const data = await weights.get(name);
      if (data?.length !== size) {
        const found = data === undefined ? "missing" : `of ${data.length} elements`;
        throw new ModelError(`weight "${name}" is ${found}, must have ${size} for shape [${shape.join(", ")}]`);
      }
      made.set(
        name,
        runtime.buffer(
          { shape: shape as readonly number[], dtype },
          data,
          packable.has(name) ? { packed: true, storage: weightStorage } : {},
        ),
      );
    }
    return new Model(spec, runtime, made, { runtime: ownsRuntime, buffers: true });
  } catch (error) {
    if (ownsRuntime) await runtime.close();
    throw error;
  }
}
