// Compiles a graph into commands: lowers every step, packs values and scratch into arenas, merges what may run side by side,
// compiles the pipelines. A run writes the inputs, submits one command buffer and reads the outputs.
import { plan } from "../../graph/plan.ts";
import { type BoundType, sizeOf } from "../../graph/shape.ts";
import { type Graph, nodeName, type Tensor } from "../../graph/types.ts";
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
import { halfRequests } from "./activations.ts";
import type { Region } from "./buffer.ts";
import { buildCommands, type Command } from "./commands.ts";
import type { GpuContext } from "./device.ts";
import { inlineProducers } from "./inline.ts";
import type { Place } from "./link.ts";
import type { GpuTensor, Storage } from "./lowering.ts";
import { type LocatedDispatch, mergeDispatches } from "./merge.ts";
import { neededDispatches } from "./needed.ts";
import type { PipelineCache } from "./pipelines.ts";
import { locate, OwnedBuffers, placeArenas, placeLeaves, placeTensor, typeIn } from "./places.ts";
import { timeCommands } from "./profile.ts";
import { lowerStep, type Step } from "./steps.ts";
import type { Tuner } from "./tuner.ts";

/** What programs of one runtime share. */
export interface Machine {
  readonly context: GpuContext;
  readonly pipelines: PipelineCache;
  readonly tuner: Tuner;
  /** How values in flight are kept, where a program has no gradients. */
  readonly activations: "f32" | "f16";
}

/** Rows times tokens up to which a program is one of many small dispatches, worth merging. */
const FEW_TOKENS = 8;

/** Steps for which a small program leaves memory alone: about a layer's. */
const RESTING_STEPS = 32;

/** @throws RuntimeError for ops without a kernel, kernels that do not compile, memory exhausted. */
export async function compileProgram(graph: Graph, options: CompileOptions, machine: Machine): Promise<Program> {
  const owned = new OwnedBuffers(machine.context);
  try {
    return await compile(graph, options, machine, owned);
  } catch (error) {
    owned.destroy();
    throw error;
  }
}

async function compile(
  given: Graph,
  { bindings, buffers, poison = false }: CompileOptions,
  { context, pipelines, tuner, activations }: Machine,
  owned: OwnedBuffers,
): Promise<Program> {
  const { device } = context;
  const small = bindings.B * bindings.T <= FEW_TOKENS;
  const graph = small ? inlineProducers(given) : given;
  const layout = plan(graph, bindings);
  const typeOf = (tensor: Tensor): BoundType => typeIn(layout, tensor);
  // Scopes are a stack that other programs use too: this one is closed before anything is awaited.
  device.pushErrorScope("out-of-memory");
  const leaves = placeLeaves(graph, layout, buffers, owned, context);
  const halves = activations === "f16" ? halfRequests(graph, layout) : new Set<number>();
  const storageOf = (request: number, type: BoundType): Storage => (halves.has(request) ? "f16" : type.dtype);
  const tensors = new Map<GpuTensor, Tensor>();
  const proxyOf = (tensor: Tensor | undefined): GpuTensor | undefined => {
    const stored = tensor && layout.storage.get(tensor);
    if (tensor === undefined || stored === undefined) return undefined;
    const type = typeOf(tensor);
    const storage =
      stored.kind === "leaf" ? (leaves.get(stored.leaf)?.storage ?? type.dtype) : storageOf(stored.request, type);
    const proxy: GpuTensor = { kind: "tensor", ...type, storage };
    tensors.set(proxy, tensor);
    return proxy;
  };
  const steps = layout.steps.map((node) => lowerStep(node, proxyOf, layout, bindings, { context, tuner }));
  const arenas = placeArenas(layout, steps, context, owned, { rest: small ? RESTING_STEPS : 0, halves });
  const outOfMemory = device.popErrorScope();

  const placeOf = (tensor: Tensor): Place => placeTensor(tensor, layout, leaves, arenas, halves);
  const ofProxy = (proxy: GpuTensor): Place => {
    const tensor = tensors.get(proxy);
    if (tensor === undefined) throw new RuntimeError("a kernel was given a tensor of another node");
    return placeOf(tensor);
  };
  const located = steps.flatMap(({ dispatches }, step) =>
    dispatches.map((dispatch): LocatedDispatch => {
      const entries = Object.entries(dispatch.bindings);
      return {
        step,
        dispatch,
        bindings: entries.flatMap(([name, binding]) =>
          binding === undefined ? [] : [[name, binding, locate(binding.tensor, ofProxy, arenas)] as const],
        ),
        absent: entries.flatMap(([name, binding]) => (binding === undefined ? [name] : [])),
      };
    }),
  );
  const copies = layout.copies.map(({ from, state }) => ({ from: placeOf(from), to: placeOf(state) }));
  const outputs = placeOutputs(graph, typeOf, placeOf);
  const results = [...copies.map(({ from }) => from), ...outputs.map(({ place }) => place)];
  const groups = small
    ? mergeDispatches(neededDispatches(located, results, arenas.arenas), context, pipelines)
    : located.map((one) => [one]);
  const commands = await buildCommands(groups, context, pipelines, owned);
  const exhausted = await outOfMemory;
  if (exhausted !== null) {
    throw new RuntimeError(`out of GPU memory: the program wants ${arenas.bytes} bytes (${exhausted.message})`);
  }
  context.check();

  const inputs = graph.inputs.map(({ name, tensor }) => ({ name, type: typeOf(tensor), place: placeOf(tensor) }));
  const staging = owned.buffer({
    label: "outputs",
    size: Math.max(
      16,
      outputs.reduce((end, { at, bytes }) => Math.max(end, at + bytes), 0),
    ),
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  let freed = false;
  const enter = (values: Readonly<Record<string, HostArray>>): void => {
    if (freed) throw new RuntimeError("the program was freed");
    context.check();
    for (const { name, type, place } of inputs) {
      const data = checkArray(`input "${name}"`, type, values[name]);
      device.queue.writeBuffer(place.buffer, place.offset, data as HostArray & ArrayBufferView<ArrayBuffer>);
    }
    if (poison) for (const arena of arenas.arenas) fillWithNaN(device, arena);
  };
  const finish = (encoder: GPUCommandEncoder): void => {
    for (const { from, to } of copies)
      encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, Math.ceil(from.bytes / 4) * 4);
  };
  const units = unitsOf(steps, commands);
  return {
    bindings,
    arenaBytes: arenas.bytes,
    async run(values, wanted) {
      enter(values);
      const encoder = device.createCommandEncoder();
      encode(encoder, commands);
      finish(encoder);
      const returned = wanted === undefined ? outputs : outputs.filter(({ name }) => wanted.includes(name));
      for (const { place, at, bytes } of returned)
        if (bytes > 0) encoder.copyBufferToBuffer(place.buffer, place.offset, staging, at, bytes);
      device.queue.submit([encoder.finish()]);
      const results: Record<string, HostArray> = {};
      if (returned.length === 0) {
        await context.wait(device.queue.onSubmittedWorkDone());
        context.check();
        return results;
      }
      await context.wait(staging.mapAsync(GPUMapMode.READ));
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
      const seconds = await timeCommands(commands, context, finish);
      return commands.map(({ members }, i) => {
        const [{ step }] = members as [LocatedDispatch];
        const { node } = steps[step] as Step;
        const kernel = members.map(({ dispatch }) => dispatch.kernel).join(" + ");
        const explanation = units.findIndex((unit) => unit.commands.includes(i));
        return { node: nodeName(node), op: node.op.name, kernel, seconds: seconds[i] ?? 0, explanation };
      });
    },
    explain: () => units.map((unit) => explain(unit, steps, commands, bindings)),
    free() {
      if (freed) return;
      freed = true;
      owned.destroy();
    },
  };
}

function encode(encoder: GPUCommandEncoder, commands: readonly Command[]): void {
  const pass = encoder.beginComputePass();
  let current: GPUComputePipeline | undefined;
  for (const { pipeline, group, x, y, z } of commands) {
    if (pipeline !== current) {
      current = pipeline;
      pass.setPipeline(pipeline);
    }
    pass.setBindGroup(0, group);
    // Each argument takes its time on the way to Dawn.
    if (y === 1 && z === 1) pass.dispatchWorkgroups(x);
    else pass.dispatchWorkgroups(x, y, z);
  }
  pass.end();
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

/** Steps that share dispatches, and their dispatches: what can be told apart by time. */
interface Unit {
  readonly steps: number[];
  readonly commands: number[];
}

function unitsOf(steps: readonly Step[], commands: readonly Command[]): Unit[] {
  const unitOf = new Map<number, Unit>();
  for (const [i] of steps.entries()) unitOf.set(i, { steps: [i], commands: [] });
  for (const [i, { members }] of commands.entries()) {
    const [first, ...others] = new Set(members.flatMap(({ step }) => unitOf.get(step) ?? []));
    if (first === undefined) continue;
    for (const other of others) {
      first.steps.push(...other.steps);
      first.commands.push(...other.commands);
      for (const step of other.steps) unitOf.set(step, first);
    }
    first.commands.push(i);
  }
  return [...new Set(unitOf.values())].sort((a, b) => (a.commands[0] ?? 0) - (b.commands[0] ?? 0));
}

function explain(
  unit: Unit,
  steps: readonly Step[],
  commands: readonly Command[],
  bindings: CompileOptions["bindings"],
): Explanation {
  const nodes = unit.steps.flatMap((i) => steps[i]?.node ?? []);
  const costs = nodes.map((node) => nodeCost(node, bindings));
  const kernels = unit.commands.map((i) =>
    (commands[i]?.members ?? [])
      .map(({ dispatch: { kernel, reason } }) => (reason === undefined ? kernel : `${kernel} (${reason})`))
      .join(" + "),
  );
  return {
    node: costs.map(({ node }) => node).join(" + "),
    op: [...new Set(nodes.map((node) => node.op.name))].join(" + "),
    kernels,
    flops: costs.reduce((sum, { flops }) => sum + flops, 0),
    bytes: costs.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
