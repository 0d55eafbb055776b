// Compiles a graph into a program in WebAssembly memory: lowers every step to kernel launches, packs values and scratch
// into one arena, and writes the launches as the list of commands that kernels/executor runs.

import { leafName } from "../../graph/graph.ts";
import type { ConstantAttributes } from "../../graph/leaves.ts";
import { type Plan, packArena, plan } from "../../graph/plan.ts";
import { bytesOf, sizeOf } from "../../graph/shape.ts";
import { type Graph, type Node, nodeName, type Tensor } from "../../graph/types.ts";
import { nodeCost } from "../cost.ts";
import {
  type CompileOptions,
  checkArray,
  type Explanation,
  type HostArray,
  type Program,
  RuntimeError,
} from "../types.ts";
import { WasmBuffer } from "./buffer.ts";
import { CommandList, type Range, timeCommands } from "./commands.ts";
import type { Engine } from "./engine.ts";
import type { Emitter, Scratch, WasmLowering, WasmNode, WasmTensor, Word } from "./lowering.ts";
import { lowerings } from "./table.ts";

const ALIGNMENT = 64;

interface Launch {
  readonly kernel: string;
  readonly words: readonly Word[];
}

/** One step's launches and the memory that they read and write. */
interface Step {
  readonly node: Node;
  readonly launches: Launch[];
  readonly scratch: Scratch[];
}

export function compileProgram(
  graph: Graph,
  { bindings, buffers, poison = false }: CompileOptions,
  engine: Engine,
): Program {
  const { heap } = engine;
  const layout = plan(graph, bindings);
  const bufferOf = (name: string): WasmBuffer => {
    const buffer = buffers.get(name);
    if (!(buffer instanceof WasmBuffer)) throw new RuntimeError(`no buffer of this runtime is given for "${name}"`);
    return buffer;
  };
  const owned: number[] = [];
  const allocate = (bytes: number): number => {
    const address = heap.allocate(bytes);
    owned.push(address);
    return address;
  };
  const leafAddresses = placeLeaves(graph, layout, bufferOf, allocate, engine);

  // Lower every step; tensors get their addresses afterwards, when the arena is packed.
  const proxies = new Map<WasmTensor, Tensor>();
  const proxyOf = (tensor: Tensor | undefined): WasmTensor | undefined => {
    if (tensor === undefined || !layout.storage.has(tensor)) return undefined;
    const type = typeOf(layout, tensor);
    const leaf = tensor.node.op.leaf;
    const packed = leaf === "parameter" && bufferOf(leafName(tensor.node)).layout === "panels";
    const proxy: WasmTensor = { kind: "tensor", ...type, layout: packed ? "panels" : "plain" };
    proxies.set(proxy, tensor);
    return proxy;
  };
  const steps = layout.steps.map((node) => lowerStep(node, proxyOf, layout, bindings, engine.threads));
  const requests = [...layout.requests];
  const scratchRequests = new Map<Scratch, number>();
  for (const [index, step] of steps.entries()) {
    for (const scratch of step.scratch) {
      scratchRequests.set(scratch, requests.push({ bytes: scratch.bytes, first: index, last: index }) - 1);
    }
  }
  const packing = packArena(requests, ALIGNMENT);
  const arena = allocate(packing.size);

  const addressOf = (tensor: Tensor): number => {
    const place = layout.storage.get(tensor);
    if (place === undefined) throw new RuntimeError(`${nodeName(tensor.node)} has no storage`);
    if (place.kind === "arena") return arena + (packing.offsets[place.request] ?? 0);
    return leafAddresses.get(place.leaf) ?? 0;
  };
  const scratchAddress = (scratch: Scratch): number =>
    arena + (packing.offsets[scratchRequests.get(scratch) ?? -1] ?? 0);

  const resolve = (word: Word): number | { readonly float: number } => {
    if (word === undefined) return 0;
    if (typeof word === "number") return word;
    if (word.kind === "float") return { float: word.value };
    if (word.kind === "scratch") return scratchAddress(word);
    const tensor = proxies.get(word);
    if (tensor === undefined) throw new RuntimeError("a kernel was given a tensor of another node");
    return addressOf(tensor);
  };
  const rangeOf = (tensor: Tensor): Range => {
    const start = addressOf(tensor);
    return { start, end: start + bytesOf(typeOf(layout, tensor)) };
  };

  const commands = new CommandList(engine);
  for (const [explanation, { node, launches, scratch }] of steps.entries()) {
    const reads = node.inputs.flatMap((input) => (input === undefined ? [] : [rangeOf(input)]));
    const writes = [
      ...node.outputs.flatMap((output) => (layout.storage.has(output) ? [rangeOf(output)] : [])),
      ...scratch.map((s) => ({ start: scratchAddress(s), end: scratchAddress(s) + s.bytes })),
    ];
    for (const [i, { kernel, words }] of launches.entries())
      commands.append(
        { step: { node: nodeName(node), op: node.op.name, kernel, explanation }, words: words.map(resolve) },
        reads,
        writes,
        i > 0,
      );
  }
  for (const { from, state } of layout.copies) {
    const [source, target] = [rangeOf(from), rangeOf(state)];
    const words = sizeOf(typeOf(layout, from).shape);
    const step = { node: nodeName(state.node), op: "copy", kernel: "copy" };
    commands.append({ step, words: [source.start, target.start, words] }, [source], [target], false);
  }
  const program = commands.write(allocate);

  const inputs = graph.inputs.map(({ name, tensor }) => ({
    name,
    type: typeOf(layout, tensor),
    address: addressOf(tensor),
  }));
  const outputs = graph.outputs.map(({ name, tensor }) => ({
    name,
    type: typeOf(layout, tensor),
    address: addressOf(tensor),
  }));
  const view = (type: { dtype: string; shape: readonly number[] }, address: number): HostArray =>
    type.dtype === "i32" ? heap.integers(address, sizeOf(type.shape)) : heap.floats(address, sizeOf(type.shape));
  let freed = false;
  const enter = (values: Readonly<Record<string, HostArray>>): void => {
    if (freed) throw new RuntimeError("the program was freed");
    for (const { name, type, address } of inputs)
      view(type, address).set(checkArray(`input "${name}"`, type, values[name]));
    if (poison) heap.floats(arena, packing.size / 4).fill(Number.NaN);
  };
  return {
    bindings,
    arenaBytes: packing.size,
    async run(values, wanted) {
      enter(values);
      engine.run(program);
      const results: Record<string, HostArray> = {};
      for (const { name, type, address } of outputs) {
        // slice() of a view on shared memory would be shared again: copy into fresh memory.
        if (wanted === undefined || wanted.includes(name)) {
          const copy = type.dtype === "i32" ? new Int32Array(sizeOf(type.shape)) : new Float32Array(sizeOf(type.shape));
          copy.set(view(type, address));
          results[name] = copy;
        }
      }
      return results;
    },
    async profile(values, now = () => performance.now()) {
      enter(values);
      return timeCommands(commands.commands, engine, now);
    },
    explain: () => explain(steps, bindings),
    free() {
      if (freed) return;
      freed = true;
      for (const address of owned) heap.free(address);
    },
  };
}

function typeOf(layout: Plan, tensor: Tensor) {
  const type = layout.types.get(tensor);
  if (type === undefined) throw new RuntimeError(`${nodeName(tensor.node)} is not part of the program`);
  return type;
}

/** Addresses of inputs and constants (memory of the program) and of parameters and states (buffers). */
function placeLeaves(
  graph: Graph,
  layout: Plan,
  bufferOf: (name: string) => WasmBuffer,
  allocate: (bytes: number) => number,
  { heap }: Engine,
): Map<Tensor, number> {
  const addresses = new Map<Tensor, number>();
  for (const node of graph.nodes) {
    const [tensor] = node.outputs;
    if (node.op.leaf === undefined || tensor === undefined) continue;
    const type = typeOf(layout, tensor);
    if (node.op.leaf === "input") {
      addresses.set(tensor, allocate(bytesOf(type)));
    } else if (node.op.leaf === "constant") {
      const address = allocate(bytesOf(type));
      const { values } = node.attributes as ConstantAttributes;
      (type.dtype === "i32" ? heap.integers(address, values.length) : heap.floats(address, values.length)).set(values);
      addresses.set(tensor, address);
    } else {
      const name = leafName(node);
      const buffer = bufferOf(name);
      if (buffer.dtype !== type.dtype || sizeOf(buffer.shape) !== sizeOf(type.shape)) {
        throw new RuntimeError(
          `the buffer of "${name}" is [${buffer.shape.join(", ")}], the graph wants [${type.shape.join(", ")}]`,
        );
      }
      addresses.set(tensor, buffer.address);
    }
  }
  return addresses;
}

function lowerStep(
  node: Node,
  proxyOf: (tensor: Tensor | undefined) => WasmTensor | undefined,
  layout: Plan,
  bindings: CompileOptions["bindings"],
  threads: number,
): Step {
  const lower = (lowerings as Readonly<Record<string, WasmLowering<unknown>>>)[node.op.name];
  if (lower === undefined) throw new RuntimeError(`${nodeName(node)} can't run on the wasm runtime: it has no kernel`);
  const step: Step = { node, launches: [], scratch: [] };
  const emit: Emitter = {
    threads,
    command: (kernel, words) => void step.launches.push({ kernel, words }),
    scratch(bytes) {
      const scratch: Scratch = { kind: "scratch", bytes: Math.max(4, Math.ceil(bytes)) };
      step.scratch.push(scratch);
      return scratch;
    },
  };
  // Views of one tensor must reach the lowering under the shape of the view.
  const bound: WasmNode<unknown> = {
    attributes: node.op.bind?.(node.attributes, bindings) ?? node.attributes,
    inputs: node.inputs.map(proxyOf),
    outputs: node.outputs.map((output) => (layout.storage.has(output) ? proxyOf(output) : undefined)),
  };
  lower(bound, emit);
  return step;
}

function explain(steps: readonly Step[], bindings: CompileOptions["bindings"]): Explanation[] {
  return steps.map(({ node, launches }) => ({
    ...nodeCost(node, bindings),
    kernels: launches.map((launch) => launch.kernel),
  }));
}
