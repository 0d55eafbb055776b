// Compiles a graph into dispatches: lowers every step, packs values and scratch into arenas, links bindings, compiles the
// pipelines and builds every bind group once. A run writes the inputs, submits one command buffer and reads the outputs.
import { leafName } from "../../graph/graph.ts";
import type { ConstantAttributes } from "../../graph/leaves.ts";
import { type Plan, plan } from "../../graph/plan.ts";
import { type BoundType, sizeOf } from "../../graph/shape.ts";
import { type Graph, type Node, nodeName, type Tensor } from "../../graph/types.ts";
import { nodeCost } from "../cost.ts";
import {
  type CompileOptions,
  checkArray,
  type Explanation,
  type HostArray,
  type LaunchTime,
  type Program,
  RuntimeError,
} from "../types.ts";
import { type ArenaRequest, packArenas } from "./arena.ts";
import { createRegion, type Region, WebGpuBuffer } from "./buffer.ts";
import type { GpuContext } from "./device.ts";
import { link, type Place } from "./link.ts";
import type { Binding, Bound, Dispatch, Emitter, GpuLowering, GpuNode, GpuTensor, Scratch } from "./lowering.ts";
import { QUANTISED_BLOCK, storageBytes } from "./lowering.ts";
import type { PipelineCache } from "./pipelines.ts";
import { timeDispatches } from "./profile.ts";
import { lowerings } from "./table.ts";
import type { Tuner } from "./tuner.ts";

/** What programs of one runtime share. */
export interface Machine {
  readonly context: GpuContext;
  readonly pipelines: PipelineCache;
  readonly tuner: Tuner;
}

/** A dispatch ready to be encoded. */
export interface Command {
  readonly node: string;
  readonly op: string;
  readonly kernel: string;
  readonly reason: string | undefined;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

interface Step {
  readonly node: Node;
  readonly dispatches: Dispatch[];
  readonly scratch: Scratch[];
}

const UNIFORM_ALIGNMENT = 256;

export async function compileProgram(
  graph: Graph,
  { bindings, buffers, poison = false }: CompileOptions,
  machine: Machine,
): Promise<Program> {
  const { context, pipelines } = machine;
  const { device } = context;
  const layout = plan(graph, bindings);
  const typeOf = (tensor: Tensor): BoundType => {
    const type = layout.types.get(tensor);
    if (type === undefined) throw new RuntimeError(`${nodeName(tensor.node)} is not part of the program`);
    return type;
  };
  const bufferOf = (name: string): WebGpuBuffer => {
    const buffer = buffers.get(name);
    if (!(buffer instanceof WebGpuBuffer)) throw new RuntimeError(`no buffer of this runtime is given for "${name}"`);
    return buffer;
  };
  const owned: GPUBuffer[] = [];
  const allocate = (bytes: number, label: string): Region => {
    const region = createRegion(context, bytes, label);
    owned.push(region.buffer);
    return region;
  };
  device.pushErrorScope("out-of-memory");
  const leaves = placeLeaves(graph, typeOf, bufferOf, allocate, context);

  const tensors = new Map<GpuTensor, Tensor>();
  const proxyOf = (tensor: Tensor | undefined): GpuTensor | undefined => {
    if (tensor === undefined || !layout.storage.has(tensor)) return undefined;
    const type = typeOf(tensor);
    const place = layout.storage.get(tensor);
    const storage = place?.kind === "leaf" ? (leaves.get(place.leaf)?.storage ?? type.dtype) : type.dtype;
    const proxy: GpuTensor = { kind: "tensor", ...type, storage };
    tensors.set(proxy, tensor);
    return proxy;
  };
  const steps = layout.steps.map((node) => lowerStep(node, proxyOf, layout, bindings, machine));
  const { regions, scratchRegions, arenaBytes, arenas } = placeArenas(layout, steps, context, allocate);

  const placeOf = (tensor: Tensor): Place => {
    const stored = layout.storage.get(tensor);
    const bytes = storageBytes(typeOf(tensor).dtype, sizeOf(typeOf(tensor).shape));
    const found = stored?.kind === "arena" ? regions[stored.request] : stored && leaves.get(stored.leaf);
    if (found === undefined) throw new RuntimeError(`${nodeName(tensor.node)} has no storage`);
    if ("storage" in found) return found as Place;
    return { ...found, bytes, storage: typeOf(tensor).dtype };
  };
  const locate = (bound: Bound): Place => {
    if (bound.kind === "tensor") {
      const tensor = tensors.get(bound);
      if (tensor === undefined) throw new RuntimeError("a kernel was given a tensor of another node");
      return placeOf(tensor);
    }
    if (bound.kind === "scratch") {
      const region = scratchRegions.get(bound);
      if (region === undefined) throw new RuntimeError("a kernel was given the scratch of another node");
      return { ...region, storage: "f32" };
    }
    const { scales, ...whole } = locate(bound.of);
    const at = storageBytes(whole.storage, bound.first);
    return {
      ...whole,
      offset: whole.offset + at,
      bytes: storageBytes(whole.storage, bound.length),
      scales: scales && {
        ...scales,
        offset: scales.offset + (4 * bound.first) / QUANTISED_BLOCK,
        bytes: 4 * Math.ceil(bound.length / QUANTISED_BLOCK),
      },
    };
  };

  const prepared = steps.flatMap(({ node, dispatches }) =>
    dispatches.map((dispatch) => ({ node, ...prepareDispatch(dispatch, locate, context, pipelines) })),
  );
  const uniforms = allocateUniforms(
    prepared.map(({ uniformWords }) => uniformWords),
    context,
    owned,
  );
  const commands = await Promise.all(
    prepared.map(async ({ node, dispatch, entries, pipeline: pending }, i): Promise<Command> => {
      const { pipeline, layout: groupLayout } = await pending;
      const resources = entries.map(({ buffer, offset, bytes }) => ({
        buffer,
        offset,
        size: Math.ceil(bytes / 4) * 4,
      }));
      const uniform = uniforms[i];
      const all = uniform === undefined ? resources : [...resources, uniform];
      const group = device.createBindGroup({
        label: dispatch.kernel,
        layout: groupLayout,
        entries: all.map((resource, binding) => ({ binding, resource })),
      });
      const [x, y = 1, z = 1] = dispatch.workgroups;
      const { kernel, reason } = dispatch;
      return { node: nodeName(node), op: node.op.name, kernel, reason, pipeline, group, x, y, z };
    }),
  );
  const exhausted = await device.popErrorScope();
  if (exhausted !== null) {
    for (const buffer of owned) buffer.destroy();
    throw new RuntimeError(
      `out of GPU memory: the program wants ${arenaBytes} bytes for values (${exhausted.message})`,
    );
  }
  context.check();

  const copies = layout.copies.map(({ from, state }) => ({ from: placeOf(from), to: placeOf(state) }));
  const inputs = graph.inputs.map(({ name, tensor }) => ({ name, type: typeOf(tensor), place: placeOf(tensor) }));
  const outputs = placeOutputs(graph, typeOf, placeOf);
  const staging = device.createBuffer({
    label: "outputs",
    size: Math.max(
      16,
      outputs.reduce((end, { at, bytes }) => Math.max(end, at + bytes), 0),
    ),
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  owned.push(staging);
  let freed = false;

  const enter = (values: Readonly<Record<string, HostArray>>): void => {
    if (freed) throw new RuntimeError("the program was freed");
    context.check();
    for (const { name, type, place } of inputs) {
      const data = checkArray(`input "${name}"`, type, values[name]);
      device.queue.writeBuffer(place.buffer, place.offset, data as HostArray & ArrayBufferView<ArrayBuffer>);
    }
    if (poison) for (const arena of arenas) fillWithNaN(device, arena);
  };
  const finish = (encoder: GPUCommandEncoder): void => {
    for (const { from, to } of copies)
      encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, Math.ceil(from.bytes / 4) * 4);
  };
  return {
    bindings,
    arenaBytes,
    async run(values, wanted) {
      enter(values);
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      let current: GPUComputePipeline | undefined;
      for (const command of commands) {
        if (command.pipeline !== current) {
          current = command.pipeline;
          pass.setPipeline(current);
        }
        pass.setBindGroup(0, command.group);
        pass.dispatchWorkgroups(command.x, command.y, command.z);
      }
      pass.end();
      finish(encoder);
      const returned = wanted === undefined ? outputs : outputs.filter(({ name }) => wanted.includes(name));
      for (const { place, at, bytes } of returned)
        if (bytes > 0) encoder.copyBufferToBuffer(place.buffer, place.offset, staging, at, bytes);
      device.queue.submit([encoder.finish()]);
      const results: Record<string, HostArray> = {};
      if (returned.length === 0) {
        await Promise.race([device.queue.onSubmittedWorkDone(), context.lost]);
        context.check();
        return results;
      }
      await Promise.race([staging.mapAsync(GPUMapMode.READ), context.lost]);
      context.check();
      for (const { name, type, at, bytes } of returned) {
        const copy = bytes === 0 ? new ArrayBuffer(0) : staging.getMappedRange(at, bytes).slice(0);
        results[name] = type.dtype === "i32" ? new Int32Array(copy) : new Float32Array(copy);
      }
      staging.unmap();
      return results;
    },
    async profile(values): Promise<readonly LaunchTime[]> {
      enter(values);
      return timeDispatches(commands, context, finish);
    },
    explain: () => explain(steps, bindings),
    free() {
      if (freed) return;
      freed = true;
      for (const buffer of owned) buffer.destroy();
    },
  };
}

function lowerStep(
  node: Node,
  proxyOf: (tensor: Tensor | undefined) => GpuTensor | undefined,
  layout: Plan,
  bindings: CompileOptions["bindings"],
  { context, tuner }: Machine,
): Step {
  const lower = (lowerings as Readonly<Record<string, GpuLowering<unknown>>>)[node.op.name];
  if (lower === undefined)
    throw new RuntimeError(`${nodeName(node)} can't run on the webgpu runtime: it has no kernel`);
  const step: Step = { node, dispatches: [], scratch: [] };
  const bound: GpuNode<unknown> = {
    attributes: node.op.bind?.(node.attributes, bindings) ?? node.attributes,
    inputs: node.inputs.map(proxyOf),
    outputs: node.outputs.map((output) => (layout.storage.has(output) ? proxyOf(output) : undefined)),
  };
  const emit: Emitter = {
    device: context.facts,
    dispatch: (dispatch) => void step.dispatches.push(dispatch),
    scratch(bytes) {
      const scratch: Scratch = { kind: "scratch", bytes: Math.max(16, Math.ceil(bytes / 4) * 4) };
      step.scratch.push(scratch);
      return scratch;
    },
    inPlace(input, output) {
      const [source, result] = [node.inputs[input], node.outputs[output]].map((t) => t && layout.storage.get(t));
      if (source === undefined || result === undefined) return false;
      if (source.kind === "leaf") return result.kind === "leaf" && result.leaf === source.leaf;
      return result.kind === "arena" && result.request === source.request;
    },
    tuned: (key, candidates) => tuner.choose(`${node.op.name} ${key}`, candidates, node.op, bound),
  };
  lower(bound, emit);
  return step;
}

/** Places of inputs and constants (buffers of the program) and of parameters and states (buffers of their owner). */
function placeLeaves(
  graph: Graph,
  typeOf: (tensor: Tensor) => BoundType,
  bufferOf: (name: string) => WebGpuBuffer,
  allocate: (bytes: number, label: string) => Region,
  { device }: GpuContext,
): Map<Tensor, Place> {
  const places = new Map<Tensor, Place>();
  for (const node of graph.nodes) {
    const [tensor] = node.outputs;
    if (node.op.leaf === undefined || tensor === undefined) continue;
    const type = typeOf(tensor);
    const bytes = 4 * sizeOf(type.shape);
    if (node.op.leaf === "input" || node.op.leaf === "constant") {
      const region = allocate(bytes, node.op.leaf);
      if (node.op.leaf === "constant") {
        const { values } = node.attributes as ConstantAttributes;
        const data = type.dtype === "i32" ? Int32Array.from(values) : Float32Array.from(values);
        device.queue.writeBuffer(region.buffer, 0, data);
      }
      places.set(tensor, { ...region, bytes: Math.max(4, bytes), storage: type.dtype });
      continue;
    }
    const name = leafName(node);
    const buffer = bufferOf(name);
    if (buffer.dtype !== type.dtype || sizeOf(buffer.shape) !== sizeOf(type.shape)) {
      throw new RuntimeError(
        `the buffer of "${name}" is [${buffer.shape.join(", ")}], the graph wants [${type.shape.join(", ")}]`,
      );
    }
    const { region, storage, scales } = buffer;
    const used = Math.max(4, storageBytes(storage, sizeOf(buffer.shape)));
    places.set(tensor, { ...region, bytes: used, storage, scales });
  }
  return places;
}

/** Room for all values and scratch. */
function placeArenas(
  layout: Plan,
  steps: readonly Step[],
  { maxBuffer }: GpuContext,
  allocate: (bytes: number, label: string) => Region,
) {
  const requests: ArenaRequest[] = [...layout.requests];
  const owners: Scratch[] = [];
  for (const [index, step] of steps.entries()) {
    for (const scratch of step.scratch) {
      owners.push(scratch);
      requests.push({ bytes: scratch.bytes, first: index, last: index });
    }
  }
  const packing = packArenas(requests, UNIFORM_ALIGNMENT, maxBuffer);
  const arenas = packing.sizes.map((size) => allocate(size, "arena"));
  const regions = requests.map(({ bytes }, i): Region => {
    const { arena, offset } = packing.places[i] ?? { arena: 0, offset: 0 };
    const region = arenas[arena];
    if (region === undefined) throw new RuntimeError("an arena is missing");
    return { buffer: region.buffer, offset, bytes: Math.max(4, bytes) };
  });
  const scratchRegions = new Map(
    owners.map((scratch, i) => [scratch, regions[layout.requests.length + i] as Region] as const),
  );
  const arenaBytes = packing.sizes.reduce((sum, size) => sum + size, 0);
  return { regions, scratchRegions, arenaBytes, arenas };
}

function prepareDispatch(
  dispatch: Dispatch,
  locate: (bound: Bound) => Place,
  context: GpuContext,
  pipelines: PipelineCache,
) {
  const { kernel, constants = {}, uniforms = {}, bindings } = dispatch;
  const present: [string, Binding, Place][] = [];
  const absent: string[] = [];
  for (const [name, binding] of Object.entries(bindings)) {
    if (binding === undefined) absent.push(name);
    else present.push([name, binding, locate(binding.tensor)]);
  }
  const linked = link(kernel, present, context.facts);
  for (const { bytes } of linked.entries) {
    if (bytes <= context.facts.maxBinding) continue;
    throw new RuntimeError(`${kernel} binds ${bytes} bytes at once, this device allows ${context.facts.maxBinding}`);
  }
  const fields = [
    ...Object.entries(uniforms).map(([name, value]) => ({ name, value })),
    ...linked.bases.map(({ name, value }) => ({ name, value: value as number | { value: number; kind: "float" } })),
  ];
  const words = new Uint32Array(fields.length);
  for (const [i, { value }] of fields.entries()) {
    if (typeof value === "number") words[i] = value;
    else new Float32Array(words.buffer, 4 * i, 1)[0] = value.value;
  }
  const file = dispatch.source === undefined ? `${kernel}.wgsl` : kernel;
  const pipeline = pipelines.get({
    file,
    source: dispatch.source ?? pipelines.text(file),
    constants,
    uniforms: fields.map(({ name, value }) => ({ name, type: typeof value === "number" ? "u32" : "f32" })),
    variables: linked.variables,
    bindings: linked.bindings,
    absent,
    features: context.facts,
  });
  // It is awaited later, with the others.
  pipeline.catch(() => {});
  return { dispatch, entries: linked.entries, pipeline, uniformWords: words };
}

/** One buffer with every dispatch's uniforms. */
function allocateUniforms(all: readonly Uint32Array[], { device }: GpuContext, owned: GPUBuffer[]) {
  let size = 0;
  const offsets = all.map((words) => {
    const offset = size;
    size += Math.ceil((4 * words.length) / UNIFORM_ALIGNMENT) * UNIFORM_ALIGNMENT;
    return offset;
  });
  if (size === 0) return all.map(() => undefined);
  const data = new Uint32Array(size / 4);
  for (const [i, words] of all.entries()) data.set(words, (offsets[i] ?? 0) / 4);
  const buffer = device.createBuffer({
    label: "uniforms",
    size,
    usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  });
  owned.push(buffer);
  device.queue.writeBuffer(buffer, 0, data);
  return all.map((words, i) =>
    words.length === 0 ? undefined : { buffer, offset: offsets[i] ?? 0, size: Math.ceil((4 * words.length) / 16) * 16 },
  );
}

function placeOutputs(graph: Graph, typeOf: (tensor: Tensor) => BoundType, placeOf: (tensor: Tensor) => Place) {
  let at = 0;
  return graph.outputs.map(({ name, tensor }) => {
    const type = typeOf(tensor);
    const bytes = 4 * sizeOf(type.shape);
    const output = { name, type, place: placeOf(tensor), at, bytes };
    at += Math.ceil(bytes / 8) * 8;
    return output;
  });
}

const NAN_CHUNK = 1 << 20;
function fillWithNaN({ queue }: GPUDevice, { buffer, offset, bytes }: Region): void {
  const chunk = new Float32Array(Math.min(NAN_CHUNK, bytes) / 4).fill(Number.NaN);
  for (let at = 0; at < bytes; at += NAN_CHUNK)
    queue.writeBuffer(buffer, offset + at, chunk, 0, Math.min(NAN_CHUNK, bytes - at) / 4);
}

function explain(steps: readonly Step[], bindings: CompileOptions["bindings"]): Explanation[] {
  return steps.map(({ node, dispatches }) => ({
    ...nodeCost(node, bindings),
    kernels: dispatches.map(({ kernel, reason }) => (reason === undefined ? kernel : `${kernel} (${reason})`)),
  }));
}
