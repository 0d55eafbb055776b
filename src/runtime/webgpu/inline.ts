// Fewer dispatches for small programs: a kernel computes on the way in what another would have written for it alone.
//   matmul of a map             down_proj(silu(gate) · up): the map is evaluated as the product reads it
//   linear_attention of a map   Δ · x and -Δ · exp(A_log): evaluated by the threads that scan
//   rms_norm of a map           y + D · x
//   selective_scan's delta      dt_proj(x): a short product, evaluated by the thread that scans the channel
// Kernels see no difference: they read an accessor, whose text is the producer (see lowerStep).
import { rewriteGraph, usesOf } from "../../graph/graph.ts";
import { type Bindings, type BoundType, bindType } from "../../graph/shape.ts";
import { apply, type Graph, type Node, type OpDefinition, type Tensor } from "../../graph/types.ts";
import type { MapAttributes } from "../../ops/map/op.ts";
import { hasFiniteConstants } from "../../ops/map/wgsl.ts";
import type { MatmulAttributes } from "../../ops/matmul/op.ts";
import { RuntimeError } from "../types.ts";
import { type Accessor, mapAccessor, productAccessor } from "./inlined-accessors.ts";
import type { Binding, Dispatch, GpuTensor } from "./lowering.ts";

/** Longest sums that a scan evaluates as it reads delta: dt_rank is a sixteenth of d_model. */
const LONGEST_SUM = 256;

/** The inputs that kernels of an op may compute as they read them, and by what. */
const inlinable: Readonly<Record<string, Readonly<Record<number, (consumer: Node, producer: Node) => boolean>>>> = {
  matmul: { 0: rowsFit },
  selective_scan: { 1: productFits },
  linear_attention: { 2: mapFits, 3: mapFits },
  rms_norm: { 0: mapFits },
};

/** Input `index` of a node, which `producer` computes as it is read. */
interface InlinedInput {
  readonly index: number;
  readonly producer: Node;
  /** What the node reads, and what the producer makes of the same elements, perhaps in another shape; bound once the program is planned. */
  readonly bound?: { readonly read: BoundType; readonly made: BoundType };
}

/** A node with inlined inputs. Inputs of their producers follow the node's own. */
export class Inlined {
  readonly consumer: Node;
  readonly inlined: readonly InlinedInput[];
  /** The attributes of the consumer, bound once the program is planned. */
  readonly attributes: unknown;

  constructor(consumer: Node, inlined: readonly InlinedInput[], attributes?: unknown) {
    this.consumer = consumer;
    this.inlined = inlined;
    this.attributes = attributes;
  }

  bind(bindings: Bindings): Inlined {
    const { op, attributes, inputs } = this.consumer;
    const inlined = this.inlined.map(({ index, producer }) => {
      const [read, made] = [inputs[index], producer.outputs[0]].map((tensor) => bindType(tensor as Tensor, bindings));
      return { index, producer, bound: { read, made } as NonNullable<InlinedInput["bound"]> };
    });
    return new Inlined(this.consumer, inlined, op.bind?.(attributes, bindings) ?? attributes);
  }

  /** What the consumer's own lowering sees: tensors of the node's type where an input is computed. */
  virtualInputs(inputs: readonly (GpuTensor | undefined)[]): (GpuTensor | undefined)[] {
    const own = inputs.slice(0, this.consumer.inputs.length);
    for (const { index, bound } of this.inlined)
      if (bound !== undefined) own[index] = { kind: "tensor", ...bound.read, storage: "f32" };
    return own;
  }
}

/** Inlines producers whose only reader can take them in. For graphs of few rows: work is repeated by every workgroup. */
export function inlineProducers(graph: Graph): Graph {
  const { readers, leaving } = usesOf(graph);
  const isPrivate = (tensor: Tensor): boolean => readers.get(tensor)?.length === 1 && !leaving.has(tensor);
  const chosen = new Map<Node, InlinedInput[]>();
  for (const node of graph.nodes) {
    for (const [index, fits] of Object.entries(inlinable[node.op.name] ?? {})) {
      let tensor = node.inputs[Number(index)];
      // Another shape of the same elements is no obstacle.
      while (tensor?.node.op.name === "reshape" && isPrivate(tensor)) tensor = tensor.node.inputs[0];
      if (tensor === undefined || !isPrivate(tensor) || !fits(node, tensor.node)) continue;
      chosen.set(node, [...(chosen.get(node) ?? []), { index: Number(index), producer: tensor.node }]);
    }
  }
  return rewriteGraph(graph, (node, inputs, current) => {
    const inlined = chosen.get(node);
    if (inlined === undefined) return undefined;
    const isOwn = (i: number): boolean => inlined.every(({ index }) => index !== i);
    const own = inputs.map((input, i) => (isOwn(i) ? input : undefined));
    const added = inlined.flatMap(({ producer }) => producer.inputs.map((tensor) => tensor && current(tensor)));
    return apply(inlinedOp(node, isOwn), [...own, ...added], new Inlined(node, inlined));
  });
}

function mapFits(_consumer: Node, { op, attributes }: Node): boolean {
  return op.name === "map" && hasFiniteConstants((attributes as MapAttributes).expression);
}

/** A product of rows with a weight. */
function rowsFit(consumer: Node, producer: Node): boolean {
  const { transposeA, transposeB } = consumer.attributes as MatmulAttributes;
  const weight = consumer.inputs[1];
  if (transposeA || !transposeB || weight?.node.op.leaf !== "parameter" || weight.shape.length !== 2) return false;
  return mapFits(consumer, producer);
}

function productFits(_consumer: Node, { op, attributes, inputs: [x, weight, bias] }: Node): boolean {
  if (op.name !== "matmul" || bias !== undefined) return false;
  const { transposeA, transposeB } = attributes as MatmulAttributes;
  const depth = x?.shape.at(-1);
  return !transposeA && transposeB && weight?.shape.length === 2 && typeof depth === "number" && depth <= LONGEST_SUM;
}

function inlinedOp({ op, inputs, outputs }: Node, isOwn: (input: number) => boolean): OpDefinition<Inlined> {
  return {
    name: op.name,
    infer: () => outputs.map(({ shape, dtype }) => ({ shape, dtype })),
    flops(types, results, { inlined, attributes }) {
      const original = types.slice(0, inputs.length);
      let next = inputs.length;
      let flops = 0;
      for (const { index, producer, bound } of inlined) {
        const added = types.slice(next, next + producer.inputs.length);
        next += producer.inputs.length;
        original[index] = bound?.read;
        flops += producer.op.flops(added, bound === undefined ? [] : [bound.made], producer.attributes);
      }
      return op.flops(original, results, attributes) + flops;
    },
    bind: (inlined, bindings) => inlined.bind(bindings),
    inPlace: op.inPlace?.filter(([input]) => isOwn(input)) ?? [],
  };
}

/** The dispatch with accessors of what is inlined made of the producers' inputs. `virtual`: what virtualInputs gave, `inputs`: all. */
export function inlineDispatch(
  dispatch: Dispatch,
  { consumer, inlined }: Inlined,
  virtual: readonly (GpuTensor | undefined)[],
  inputs: readonly (GpuTensor | undefined)[],
): Dispatch {
  let result = dispatch;
  let next = consumer.inputs.length;
  for (const { index, producer, bound } of inlined) {
    const own = inputs.slice(next, next + producer.inputs.length);
    next += producer.inputs.length;
    if (bound === undefined) throw new RuntimeError("an inlined input is not bound");
    result = inlineInput(result, virtual[index], producer, bound.made.shape, own);
  }
  return result;
}

function inlineInput(
  dispatch: Dispatch,
  virtual: GpuTensor | undefined,
  producer: Node,
  shape: readonly number[],
  inputs: readonly (GpuTensor | undefined)[],
): Dispatch {
  const entry = Object.entries(dispatch.bindings).find(([, binding]) => {
    const bound = binding?.tensor;
    return bound !== undefined && (bound === virtual || (bound.kind === "part" && bound.of === virtual));
  });
  if (entry === undefined) return dispatch;
  const [name, binding] = entry as [string, Binding];
  if (binding.access !== "read") throw new RuntimeError(`${dispatch.kernel} writes ${name}, which is computed`);
  const { [name]: _, ...others } = dispatch.bindings;
  const first = binding.tensor.kind === "part" ? binding.tensor.first : 0;
  const wanted = { name, width: binding.width ?? 1, first, shape };
  const isMap = producer.op.name === "map";
  const { code, bindings }: Accessor = isMap
    ? mapAccessor(wanted, (producer.attributes as MapAttributes).expression, inputs)
    : productAccessor(wanted, inputs);
  return {
    ...dispatch,
    source: `${code}\n${dispatch.source ?? `#include "${dispatch.kernel}.wgsl"`}`,
    constants: { ...dispatch.constants, [`HAS_${name.toUpperCase()}`]: true },
    bindings: { ...others, ...bindings },
    reason: [dispatch.reason, `${name}: ${producer.op.name} computed as it is read`].filter(Boolean).join(", "),
  };
}
