// The reference runtime: every op by its float64 loop, one after the other. Slow and obviously right. Values between ops
// are float64; inputs, buffers and outputs are float32.

import { leafName } from "../../graph/graph.ts";
import type { ConstantAttributes } from "../../graph/leaves.ts";
import { type Bindings, type BoundType, bindType } from "../../graph/shape.ts";
import type { Graph, Node, Tensor } from "../../graph/types.ts";
import { isOpName } from "../../ops/index.ts";
import { computeReference } from "../../ops/references.ts";
import type { HostTensor } from "../../ops/types.ts";
import { nodeCost } from "../cost.ts";
import {
  type Buffer,
  checkArray,
  type HostArray,
  type Program,
  type Runtime,
  RuntimeError,
  requireFullPrecision,
} from "../types.ts";

export function createReferenceRuntime(): Runtime {
  return {
    name: "reference",
    description: "float64 loops in TypeScript",
    supports: (node) => node.op.leaf !== undefined || isOpName(node.op.name) || `${node.op.name} has no reference`,
    buffer(type, data, options = {}) {
      requireFullPrecision("reference", options);
      return new HostBuffer(type, data);
    },
    compile: async (graph, { bindings, buffers }) => compile(graph, bindings, buffers),
    close: async () => {},
  };
}

class HostBuffer implements Buffer {
  readonly shape: readonly number[];
  readonly dtype: BoundType["dtype"];
  value: HostTensor;

  constructor(type: BoundType, data?: HostArray) {
    this.shape = type.shape;
    this.dtype = type.dtype;
    const size = type.shape.reduce((n, d) => n * d, 1);
    this.value = { ...type, data: type.dtype === "i32" ? new Int32Array(size) : new Float64Array(size) };
    if (data !== undefined) this.write(data);
  }

  write(data: HostArray): void {
    this.value = toHost(this, checkArray("buffer contents", this, data));
  }

  async read(): Promise<HostArray> {
    return fromHost(this.value);
  }

  free(): void {}
}

function toHost(type: BoundType, data: HostArray): HostTensor {
  return {
    shape: type.shape,
    dtype: type.dtype,
    data: data instanceof Int32Array ? data.slice() : Float64Array.from(data),
  };
}

function fromHost(tensor: HostTensor): HostArray {
  return tensor.data instanceof Int32Array ? tensor.data.slice() : Float32Array.from(tensor.data);
}

/** Computes every node of a graph in float64, given the value of each leaf that is not a constant. */
export function evaluateGraph(
  graph: Graph,
  bindings: Bindings,
  leaf: (node: Node) => HostTensor,
): Map<Tensor, HostTensor> {
  const values = new Map<Tensor, HostTensor>();
  for (const node of graph.nodes) {
    const [output] = node.outputs;
    if (node.op.leaf === "constant" && output !== undefined) {
      const { shape, dtype, values: numbers } = node.attributes as ConstantAttributes;
      values.set(output, {
        shape,
        dtype,
        data: dtype === "i32" ? Int32Array.from(numbers) : Float64Array.from(numbers),
      });
    } else if (node.op.leaf !== undefined && output !== undefined) {
      values.set(output, leaf(node));
    } else {
      const inputs = node.inputs.map((input) => (input === undefined ? undefined : values.get(input)));
      const attributes = node.op.bind?.(node.attributes, bindings) ?? node.attributes;
      const results = computeReference(node, inputs, attributes);
      for (const [i, tensor] of node.outputs.entries()) {
        const result = results[i];
        if (result !== undefined) values.set(tensor, result);
      }
    }
  }
  return values;
}

function compile(graph: Graph, bindings: Bindings, buffers: ReadonlyMap<string, Buffer>): Program {
  const bufferOf = (name: string): HostBuffer => {
    const buffer = buffers.get(name);
    if (!(buffer instanceof HostBuffer)) throw new RuntimeError(`no buffer of this runtime is given for "${name}"`);
    return buffer;
  };
  return {
    bindings,
    arenaBytes: 0,
    async run(inputs, wanted = graph.outputs.map((o) => o.name)) {
      const values = evaluateGraph(graph, bindings, (node) => {
        const name = leafName(node);
        if (node.op.leaf !== "input") return bufferOf(name).value;
        const [tensor] = node.outputs;
        if (tensor === undefined) throw new RuntimeError(`input "${name}" has no value`);
        const type = bindType(tensor, bindings);
        return toHost(type, checkArray(`input "${name}"`, type, inputs[name]));
      });
      const resultOf = (tensor: Tensor): HostTensor => {
        const value = values.get(tensor);
        if (value === undefined)
          throw new RuntimeError(`${tensor.node.op.name} did not compute output ${tensor.index}`);
        return value;
      };
      const next = graph.states.map(({ name, output }) => [bufferOf(name), resultOf(output)] as const);
      for (const [buffer, value] of next) buffer.value = value;
      const outputs: Record<string, HostArray> = {};
      for (const { name, tensor } of graph.outputs)
        if (wanted.includes(name)) outputs[name] = fromHost(resultOf(tensor));
      return outputs;
    },
    explain: () =>
      graph.nodes
        .filter((node) => node.op.leaf === undefined)
        .map((node) => ({ ...nodeCost(node, bindings), kernels: ["reference"] })),
    free() {},
  };
}
