// Where everything of a program lies: inputs and constants in buffers of the program, parameters and states in buffers of
// their owner, values and scratch in arenas.
import { leafName } from "../../graph/graph.ts";
import type { ConstantAttributes } from "../../graph/leaves.ts";
import type { Plan } from "../../graph/plan.ts";
import { type BoundType, sizeOf } from "../../graph/shape.ts";
import { type Graph, nodeName, type Tensor } from "../../graph/types.ts";
import { type Buffer, RuntimeError } from "../types.ts";
import { type ArenaRequest, packArenas } from "./arena.ts";
import { createRegion, type Region, WebGpuBuffer } from "./buffer.ts";
import type { GpuContext } from "./device.ts";
import type { Place } from "./link.ts";
import { type Bound, QUANTISED_BLOCK, type Scratch, storageBytes } from "./lowering.ts";

/** The strictest alignment of bindings that WebGPU allows a device to ask for. */
export const ALIGNMENT = 256;

export function typeIn(layout: Plan, tensor: Tensor): BoundType {
  const type = layout.types.get(tensor);
  if (type === undefined) throw new RuntimeError(`${nodeName(tensor.node)} is not part of the program`);
  return type;
}

/** Buffers that belong to a program. */
export class OwnedBuffers {
  readonly #context: GpuContext;
  readonly #buffers: GPUBuffer[] = [];

  constructor(context: GpuContext) {
    this.#context = context;
  }

  region(bytes: number, label: string): Region {
    const region = createRegion(this.#context, bytes, label);
    this.#buffers.push(region.buffer);
    return region;
  }

  buffer(descriptor: GPUBufferDescriptor): GPUBuffer {
    const buffer = this.#context.device.createBuffer(descriptor);
    this.#buffers.push(buffer);
    return buffer;
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}

/** Places of inputs, constants, parameters and states. */
export function placeLeaves(
  graph: Graph,
  layout: Plan,
  buffers: ReadonlyMap<string, Buffer>,
  owned: OwnedBuffers,
  { device }: GpuContext,
): Map<Tensor, Place> {
  const places = new Map<Tensor, Place>();
  for (const node of graph.nodes) {
    const [tensor] = node.outputs;
    if (node.op.leaf === undefined || tensor === undefined) continue;
    const type = typeIn(layout, tensor);
    const bytes = 4 * sizeOf(type.shape);
    if (node.op.leaf === "input" || node.op.leaf === "constant") {
      const region = owned.region(bytes, node.op.leaf);
      if (node.op.leaf === "constant") {
        const { values } = node.attributes as ConstantAttributes;
        const data = type.dtype === "i32" ? Int32Array.from(values) : Float32Array.from(values);
        device.queue.writeBuffer(region.buffer, 0, data);
      }
      places.set(tensor, { ...region, bytes: Math.max(4, bytes), storage: type.dtype });
      continue;
    }
    const name = leafName(node);
    const buffer = buffers.get(name);
    if (!(buffer instanceof WebGpuBuffer)) throw new RuntimeError(`no buffer of this runtime is given for "${name}"`);
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

export interface Arenas {
  /** Of each request of the plan. */
  readonly regions: readonly Region[];
  readonly scratch: ReadonlyMap<Scratch, Region>;
  readonly arenas: readonly Region[];
  readonly bytes: number;
}

/**
 * Room for all values and scratch; `steps` hold the scratch of each step of the plan. Memory is not used again for `rest` steps after its
 * last use, so that what comes later need not wait for it; requests among `halves` hold f16.
 */
export function placeArenas(
  layout: Plan,
  steps: readonly { readonly scratch: readonly Scratch[] }[],
  { maxBuffer }: GpuContext,
  owned: OwnedBuffers,
  { rest, halves }: { readonly rest: number; readonly halves: ReadonlySet<number> },
): Arenas {
  const requests: ArenaRequest[] = layout.requests.map(({ bytes, first, last }, i) => ({
    bytes: halves.has(i) ? storageBytes("f16", bytes / 4) : bytes,
    first,
    last: last + rest,
  }));
  const owners: Scratch[] = [];
  for (const [index, step] of steps.entries()) {
    for (const scratch of step.scratch) {
      owners.push(scratch);
      requests.push({ bytes: scratch.bytes, first: index, last: index + rest });
    }
  }
  const packing = packArenas(requests, ALIGNMENT, maxBuffer);
  const arenas = packing.sizes.map((size) => owned.region(size, "arena"));
  const regions = requests.map(({ bytes }, i): Region => {
    const { arena, offset } = packing.places[i] ?? { arena: 0, offset: 0 };
    const region = arenas[arena];
    if (region === undefined) throw new RuntimeError("an arena is missing");
    return { buffer: region.buffer, offset, bytes: Math.max(4, bytes) };
  });
  return {
    regions,
    scratch: new Map(owners.map((owner, i) => [owner, regions[layout.requests.length + i] as Region] as const)),
    arenas,
    bytes: packing.sizes.reduce((sum, size) => sum + size, 0),
  };
}

export function placeTensor(
  tensor: Tensor,
  layout: Plan,
  leaves: ReadonlyMap<Tensor, Place>,
  { regions }: Arenas,
  halves: ReadonlySet<number>,
): Place {
  const stored = layout.storage.get(tensor);
  const { dtype, shape } = typeIn(layout, tensor);
  if (stored?.kind === "leaf") {
    const leaf = leaves.get(stored.leaf);
    if (leaf !== undefined) return leaf;
  }
  const region = stored?.kind === "arena" ? regions[stored.request] : undefined;
  if (region === undefined) throw new RuntimeError(`${nodeName(tensor.node)} has no storage`);
  const storage = stored?.kind === "arena" && halves.has(stored.request) ? "f16" : dtype;
  return { ...region, bytes: Math.max(4, storageBytes(storage, sizeOf(shape))), storage };
}

/** What a kernel was given as a binding: a tensor (placed by `tensor`), scratch, or a part of either. */
export function locate(bound: Bound, tensor: (bound: Bound & { kind: "tensor" }) => Place, { scratch }: Arenas): Place {
  if (bound.kind === "tensor") return tensor(bound);
  if (bound.kind === "scratch") {
    const region = scratch.get(bound);
    if (region === undefined) throw new RuntimeError("a kernel was given the scratch of another node");
    return { ...region, storage: "f32" };
  }
  const { scales, ...whole } = locate(bound.of, tensor, { scratch } as Arenas);
  return {
    ...whole,
    offset: whole.offset + storageBytes(whole.storage, bound.first),
    bytes: storageBytes(whole.storage, bound.length),
    scales: scales && {
      ...scales,
      offset: scales.offset + (4 * bound.first) / QUANTISED_BLOCK,
      bytes: 4 * Math.ceil(bound.length / QUANTISED_BLOCK),
    },
  };
}
