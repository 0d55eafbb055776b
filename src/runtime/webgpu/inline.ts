// Fewer dispatches for small programs: a kernel computes on the way in what another would have written for it alone.
//   matmul of a map         down_proj(silu(gate) · up): the map is evaluated as the product reads it
//   selective_scan's delta  dt_proj(x): a short product, evaluated by the thread that scans the channel
// Kernels see no difference: they read an accessor, whose text is the producer (see lowerStep).
import { inputsOf } from "../../graph/expression.ts";
import { rewriteGraph, usesOf } from "../../graph/graph.ts";
import { type Bindings, type BoundType, bindType, sameShape } from "../../graph/shape.ts";
import { apply, type Graph, type Node, type OpDefinition, type Tensor } from "../../graph/types.ts";
import type { MapAttributes } from "../../ops/map/op.ts";
import { expressionCode, hasFiniteConstants } from "../../ops/map/wgsl.ts";
import type { MatmulAttributes } from "../../ops/matmul/op.ts";
import { RuntimeError } from "../types.ts";
import type { Binding, Dispatch, GpuTensor } from "./lowering.ts";

/** Longest sums that a scan evaluates as it reads delta: dt_rank is a sixteenth of d_model. */
const LONGEST_SUM = 256;

/** A node whose input `index` is computed by `producer` as it is read. Inputs of the producer follow the node's own. */
export class Inlined {
  readonly consumer: Node;
  readonly index: number;
  readonly producer: Node;
  /** The attributes of the consumer, and the type of what is inlined; bound once the program is planned. */
  readonly bound: { readonly attributes: unknown; readonly type: BoundType } | undefined;

  constructor(consumer: Node, index: number, producer: Node, bound?: Inlined["bound"]) {
    this.consumer = consumer;
    this.index = index;
    this.producer = producer;
    this.bound = bound;
  }

  bind(bindings: Bindings): Inlined {
    const { op, attributes, inputs } = this.consumer;
    const tensor = inputs[this.index] as Tensor;
    const bound = { attributes: op.bind?.(attributes, bindings) ?? attributes, type: bindType(tensor, bindings) };
    return new Inlined(this.consumer, this.index, this.producer, bound);
  }
}

/** Inlines producers whose only reader can take them in. For graphs of few rows: work is repeated by every workgroup. */
export function inlineProducers(graph: Graph): Graph {
  const { readers, leaving } = usesOf(graph);
  const isPrivate = (tensor: Tensor): boolean => readers.get(tensor)?.length === 1 && !leaving.has(tensor);
  const chosen = new Map<Node, { readonly index: number; readonly producer: Node }>();
  for (const node of graph.nodes) {
    const index = node.op.name === "matmul" ? 0 : node.op.name === "selective_scan" ? 1 : undefined;
    const source = index === undefined ? undefined : node.inputs[index];
    if (index === undefined || source === undefined || !isPrivate(source)) continue;
    const producer = source.node;
    const fits = node.op.name === "matmul" ? mapFits(node, producer) : productFits(producer);
    if (fits) chosen.set(node, { index, producer });
  }
  return rewriteGraph(graph, (node, inputs, current) => {
    const choice = chosen.get(node);
    if (choice === undefined) return undefined;
    const { index, producer } = choice;
    const own = inputs.map((input, i) => (i === index ? undefined : input));
    const added = producer.inputs.map((tensor) => tensor && current(tensor));
    return apply(inlinedOp(node, index), [...own, ...added], new Inlined(node, index, producer));
  });
}

/** A product of rows with a weight; its rows computed element by element from inputs of the same shape, or single values. */
function mapFits(consumer: Node, producer: Node): boolean {
  const { transposeA, transposeB } = consumer.attributes as MatmulAttributes;
  const weight = consumer.inputs[1];
  if (transposeA || !transposeB || weight?.node.op.leaf !== "parameter" || weight.shape.length !== 2) return false;
  if (producer.op.name !== "map") return false;
  const [output] = producer.outputs;
  const { expression } = producer.attributes as MapAttributes;
  const alike = producer.inputs.every(
    (input) =>
      input !== undefined && output !== undefined && (sameShape(input.shape, output.shape) || input.shape.length === 0),
  );
  return alike && hasFiniteConstants(expression);
}

function productFits({ op, attributes, inputs: [x, weight, bias] }: Node): boolean {
  if (op.name !== "matmul" || bias !== undefined) return false;
  const { transposeA, transposeB } = attributes as MatmulAttributes;
  const depth = x?.shape.at(-1);
  return !transposeA && transposeB && weight?.shape.length === 2 && typeof depth === "number" && depth <= LONGEST_SUM;
}

function inlinedOp(consumer: Node, index: number): OpDefinition<Inlined> {
  const { op, inputs, outputs } = consumer;
  const original = (types: readonly (BoundType | undefined)[], { bound }: Inlined) =>
    inputs.map((_, i) => (i === index ? bound?.type : types[i]));
  return {
    name: op.name,
    infer: () => outputs.map(({ shape, dtype }) => ({ shape, dtype })),
    flops(types, results, inlined) {
      const { producer, bound } = inlined;
      const added = types.slice(inputs.length);
      const made = bound === undefined ? [] : [bound.type];
      return (
        op.flops(original(types, inlined), results, bound?.attributes) +
        producer.op.flops(added, made, producer.attributes)
      );
    },
    bind: (inlined, bindings) => inlined.bind(bindings),
    inPlace: op.inPlace?.filter(([input]) => input !== index) ?? [],
  };
}

/** The dispatch with the inlined tensor's accessor made of the producer's inputs. */
export function inlineDispatch(
  dispatch: Dispatch,
  virtual: GpuTensor,
  { producer }: Inlined,
  inputs: readonly (GpuTensor | undefined)[],
): Dispatch {
  const entry = Object.entries(dispatch.bindings).find(([, binding]) => {
    const bound = binding?.tensor;
    return bound === virtual || (bound?.kind === "part" && bound.of === virtual);
  });
  if (entry === undefined) return dispatch;
  const [name, binding] = entry as [string, Binding];
  if (binding.access !== "read") throw new RuntimeError(`${dispatch.kernel} writes ${name}, which is computed`);
  const { [name]: _, ...others } = dispatch.bindings;
  const width = binding.width ?? 1;
  const first = binding.tensor.kind === "part" ? binding.tensor.first : 0;
  const accessor = { name, width, first, columns: virtual.shape.at(-1) ?? 1 };
  const { code, bindings } =
    producer.op.name === "map" ? mapAccessor(accessor, producer, inputs) : productAccessor(accessor, inputs);
  return {
    ...dispatch,
    source: `${code}\n${dispatch.source ?? `#include "${dispatch.kernel}.wgsl"`}`,
    constants: { ...dispatch.constants, [`HAS_${name.toUpperCase()}`]: true },
    bindings: { ...others, ...bindings },
    reason: [dispatch.reason, `${producer.op.name} computed as it is read`].filter(Boolean).join(", "),
  };
}

/** The accessor to write: elements count from `first`, `columns` a row. */
interface Wanted {
  readonly name: string;
  readonly width: 1 | 4;
  readonly first: number;
  readonly columns: number;
}

interface Accessor {
  readonly code: string;
  readonly bindings: Readonly<Record<string, Binding | undefined>>;
}

function mapAccessor(
  { name, width, first }: Wanted,
  { attributes }: Node,
  inputs: readonly (GpuTensor | undefined)[],
): Accessor {
  const { expression } = attributes as MapAttributes;
  const { statements, result } = expressionCode(expression);
  const bindings: Record<string, Binding> = {};
  const lines: string[] = [];
  for (const i of inputsOf(expression)) {
    const tensor = inputs[i];
    if (tensor === undefined) throw new RuntimeError("an input of an inlined map is missing");
    const isScalar = tensor.shape.length === 0;
    bindings[`${name}_in${i}`] = { tensor, access: "read", width: isScalar ? 1 : width };
    const suffix = width === 4 && !isScalar ? "4" : "";
    lines.push(`let x${i} = V(${name}_in${i}_load${suffix}(${isScalar ? "0u" : `i + ${first / width}u`}));`);
  }
  const code = [
    `alias V = ${width === 4 ? "vec4<f32>" : "f32"};`,
    '#include "common/math.wgsl"',
    `fn ${name}_load${width === 4 ? "4" : ""}(i: u32) -> V {`,
    ...[...lines, ...statements].map((line) => `  ${line}`),
    `  return V(${result});`,
    "}",
  ];
  return { code: code.join("\n"), bindings };
}

/** Element (row, column) of x · weightᵀ. */
function productAccessor(
  { name, width, first, columns }: Wanted,
  [x, weight]: readonly (GpuTensor | undefined)[],
): Accessor {
  if (x === undefined || weight === undefined) throw new RuntimeError("an input of an inlined product is missing");
  const depth = x.shape.at(-1) ?? 1;
  const vector = depth % 4 === 0;
  const [step, sum] = vector
    ? [depth / 4, `dot(${name}_in0_load4(row + k), ${name}_in1_load4(column + k))`]
    : [depth, `${name}_in0_load(row + k) * ${name}_in1_load(column + k)`];
  const code = [
    `fn ${name}_load(i: u32) -> f32 {`,
    `  let row = (i + ${first}u) / ${columns}u * ${step}u;`,
    `  let column = (i + ${first}u) % ${columns}u * ${step}u;`,
    "  var sum = 0.0;",
    `  for (var k = 0u; k < ${step}u; k++) { sum += ${sum}; }`,
    "  return sum;",
    "}",
    `fn ${name}_load4(i: u32) -> vec4<f32> {`,
    `  return vec4<f32>(${[0, 1, 2, 3].map((k) => `${name}_load(4u * i + ${k}u)`).join(", ")});`,
    "}",
  ];
  if (width === 1) code.splice(-3);
  const bindings: Record<string, Binding> = {
    [`${name}_in0`]: { tensor: x, access: "read", width: vector ? 4 : 1 },
    [`${name}_in1`]: { tensor: weight, access: "read", width: vector ? 4 : 1 },
  };
  return { code: code.join("\n"), bindings };
}
