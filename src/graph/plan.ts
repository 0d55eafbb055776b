// Planning: which memory every tensor of a bound graph lives in. Tensors that are never alive together share an arena;
// views share their source's storage, and an op that may run in place overwrites an input that dies with it.
import { type Bindings, type BoundType, bindType, bytesOf } from "./shape.ts";
import { type Graph, type Node, nodeName, type Tensor } from "./types.ts";

/** A block of arena memory wanted during steps `first` … `last`, both inclusive. */
export interface Request {
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

export interface Packing {
  /** Byte offset of each request, aligned. */
  readonly offsets: readonly number[];
  /** Bytes of the arena. */
  readonly size: number;
}

/** Improvements tried on the best greedy packing: many where a try is cheap. */
const roundsFor = (requests: number): number => Math.min(2000, Math.max(20, Math.floor(100_000 / (requests + 1))));

const align = (bytes: number, alignment: number): number => Math.ceil(bytes / alignment) * alignment;

/** The most bytes that are wanted at one step: no packing can be smaller. */
export function lowerBound(requests: readonly Request[], alignment: number): number {
  const steps = new Map<number, number>();
  for (const { bytes, first, last } of requests) {
    const size = align(bytes, alignment);
    steps.set(first, (steps.get(first) ?? 0) + size);
    steps.set(last + 1, (steps.get(last + 1) ?? 0) - size);
  }
  let live = 0;
  let peak = 0;
  for (const [, change] of [...steps].sort(([a], [b]) => a - b)) {
    live += change;
    peak = Math.max(peak, live);
  }
  return peak;
}

/**
 * Packs requests into one arena so that no two that are alive together overlap. Greedy, best of four orders, then improved: requests
 * are placed one by one in the tightest gap that the already placed ones leave (Pisarchyk & Lee 2020, "Efficient memory
 * management for deep neural net inference").
 */
export function packArena(requests: readonly Request[], alignment: number): Packing {
  const bound = lowerBound(requests, alignment);
  const indices = requests.map((_, i) => i);
  const size = (i: number): number => requests[i]?.bytes ?? 0;
  const span = (i: number): number => (requests[i]?.last ?? 0) - (requests[i]?.first ?? 0) + 1;
  const first = (i: number): number => requests[i]?.first ?? 0;
  const orders: ((a: number, b: number) => number)[] = [
    (a, b) => size(b) - size(a) || span(b) - span(a) || a - b,
    (a, b) => span(b) * size(b) - span(a) * size(a) || a - b,
    (a, b) => first(a) - first(b) || span(b) - span(a) || size(b) - size(a) || a - b,
    (a, b) => span(b) - span(a) || size(b) - size(a) || a - b,
  ];
  let best: { readonly packing: Packing; readonly order: readonly number[] } | undefined;
  const attempt = (order: readonly number[]): void => {
    const packing = packInOrder(requests, order, alignment);
    if (best === undefined || packing.size <= best.packing.size) best = { packing, order };
  };
  for (const order of orders) attempt([...indices].sort(order));
  // What sticks out at the top was placed too late: place it (and sometimes another) earlier and try again.
  const random = sequence();
  const rounds = roundsFor(requests.length);
  for (let round = 0; round < rounds && best !== undefined && best.packing.size > 1.02 * bound; round++) {
    const { packing, order } = best;
    const top = order.filter((i) => (packing.offsets[i] ?? 0) + align(size(i), alignment) === packing.size);
    const moved = round % 3 === 2 ? order[random(order.length)] : top[random(top.length)];
    if (moved === undefined) break;
    const rest = order.filter((i) => i !== moved);
    rest.splice(random(rest.indexOf(top[0] ?? moved) + 1), 0, moved);
    attempt(rest);
  }
  return best?.packing ?? { offsets: [], size: 0 };
}

/** Small fixed pseudo-random sequence (an LCG), so that planning is repeatable: whole numbers below the argument. */
function sequence(): (limit: number) => number {
  let state = 1;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return limit <= 1 ? 0 : Math.floor((state / 2 ** 32) * limit);
  };
}

function packInOrder(requests: readonly Request[], order: readonly number[], alignment: number): Packing {
  const offsets = new Array<number>(requests.length).fill(0);
  const placed: { readonly start: number; readonly end: number; readonly request: Request }[] = [];
  let size = 0;
  for (const index of order) {
    const request = requests[index];
    if (request === undefined || request.bytes === 0) continue;
    const bytes = align(request.bytes, alignment);
    let cursor = 0;
    let chosen = -1;
    let tightest = Number.POSITIVE_INFINITY;
    // `placed` is sorted by start, so gaps appear in address order.
    for (const other of placed) {
      if (other.request.first > request.last || other.request.last < request.first) continue;
      const gap = other.start - cursor;
      if (gap >= bytes && gap < tightest) {
        chosen = cursor;
        tightest = gap;
      }
      cursor = Math.max(cursor, other.end);
    }
    const start = chosen >= 0 ? chosen : cursor;
    offsets[index] = start;
    size = Math.max(size, start + bytes);
    let low = 0;
    let high = placed.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((placed[middle]?.start ?? 0) <= start) low = middle + 1;
      else high = middle;
    }
    placed.splice(low, 0, { start, end: start + bytes, request });
  }
  return { offsets, size };
}

/** Where a tensor lives: in the arena (an index into `requests`), or in the buffer of a leaf. */
export type Storage =
  | { readonly kind: "arena"; readonly request: number }
  | { readonly kind: "leaf"; readonly leaf: Tensor };

/** A copy of a next state from the arena into the state's own buffer, after the last step. */
export interface StateCopy {
  readonly from: Tensor;
  readonly state: Tensor;
}

export interface Plan {
  /** Non-leaf, non-view nodes in execution order; a step is an index into this list. */
  readonly steps: readonly Node[];
  readonly types: ReadonlyMap<Tensor, BoundType>;
  /** Every tensor that has storage: outputs that nothing reads have none (except output 0 of a node whose outputs all go unread). */
  readonly storage: ReadonlyMap<Tensor, Storage>;
  readonly requests: readonly Request[];
  readonly copies: readonly StateCopy[];
}

/**
 * Binds the symbols and decides every tensor's storage. Inputs, parameters, states and constants are leaves with buffers
 * of their own. A next state is written straight into its state's buffer when nothing reads the old value afterwards.
 */
export function plan(graph: Graph, bindings: Bindings): Plan {
  const types = new Map<Tensor, BoundType>();
  const steps: Node[] = [];
  for (const node of graph.nodes) {
    for (const output of node.outputs) types.set(output, bindType(output, bindings));
    if (node.op.leaf === undefined && !node.op.view) steps.push(node);
  }
  const typeOf = (tensor: Tensor): BoundType => {
    const type = types.get(tensor);
    if (type === undefined) throw new Error(`${nodeName(tensor.node)} is not part of the graph`);
    return type;
  };
  const bytes = (tensor: Tensor): number => bytesOf(typeOf(tensor));

  // The tensor whose storage a view shows.
  const roots = new Map<Tensor, Tensor>();
  for (const node of graph.nodes) {
    const [source] = node.inputs;
    for (const output of node.outputs) {
      roots.set(output, node.op.view && source !== undefined ? (roots.get(source) ?? source) : output);
    }
  }
  const root = (tensor: Tensor): Tensor => roots.get(tensor) ?? tensor;

  const end = steps.length;
  const stepOf = new Map(steps.map((node, i) => [node, i] as const));
  const lastUse = new Map<Tensor, number>();
  const readSteps = new Map<Tensor, number[]>();
  for (const [step, node] of steps.entries()) {
    for (const input of node.inputs) {
      if (input === undefined) continue;
      lastUse.set(root(input), step);
      const reads = readSteps.get(root(input));
      if (reads === undefined) readSteps.set(root(input), [step]);
      else reads.push(step);
    }
  }
  for (const { tensor } of graph.outputs) lastUse.set(root(tensor), end);
  for (const { output } of graph.states) lastUse.set(root(output), end);

  const storage = new Map<Tensor, Storage>();
  const written = new Map<Tensor, Tensor>();
  const copies: StateCopy[] = [];
  const returned = new Set(graph.outputs.map((o) => root(o.tensor)));
  for (const { input, output } of graph.states) {
    const source = root(output);
    if (source === input) continue;
    const producer = stepOf.get(source.node);
    const lastRead = Math.max(-1, ...(readSteps.get(input) ?? []));
    const overwrites =
      source.node.op.inPlace?.some(([i, o]) => o === source.index && source.node.inputs[i] === input) ?? false;
    const readsItself = source.node.inputs.some((tensor) => tensor !== undefined && root(tensor) === input);
    const direct =
      producer !== undefined &&
      !written.has(source) &&
      !returned.has(source) &&
      (lastRead < producer || (lastRead === producer && readsItself && overwrites));
    if (direct) written.set(source, input);
    else copies.push({ from: source, state: input });
  }

  interface Block {
    bytes: number;
    first: number;
    last: number;
  }
  const requests: Block[] = [];
  for (const node of graph.nodes) {
    if (node.op.leaf !== undefined) {
      for (const output of node.outputs) storage.set(output, { kind: "leaf", leaf: output });
      continue;
    }
    if (node.op.view) {
      for (const output of node.outputs) {
        const place = storage.get(root(output));
        if (place !== undefined) storage.set(output, place);
      }
      continue;
    }
    const step = stepOf.get(node) ?? 0;
    const unread = node.outputs.every((output) => !lastUse.has(output));
    for (const output of node.outputs) {
      const leaf = written.get(output);
      if (leaf !== undefined) {
        storage.set(output, { kind: "leaf", leaf });
        continue;
      }
      if (!lastUse.has(output) && !(unread && output.index === 0)) continue;
      const last = lastUse.get(output) ?? step;
      const reused = reusable(node, output, step);
      if (reused !== undefined) {
        const block = requests[reused];
        if (block !== undefined) block.last = Math.max(block.last, last);
        storage.set(output, { kind: "arena", request: reused });
      } else {
        storage.set(output, { kind: "arena", request: requests.push({ bytes: bytes(output), first: step, last }) - 1 });
      }
    }
  }

  /** The arena block of an input that `output` may overwrite: dead after this step, of equal size, not yet taken. */
  function reusable(node: Node, output: Tensor, step: number): number | undefined {
    for (const [i, o] of node.op.inPlace ?? []) {
      const source = node.inputs[i];
      if (o !== output.index || source === undefined) continue;
      const place = storage.get(root(source));
      if (place?.kind !== "arena" || lastUse.get(root(source)) !== step || bytes(source) !== bytes(output)) continue;
      const sharedInputs = node.inputs.filter((input) => input !== undefined && root(input) === root(source)).length;
      const block = requests[place.request];
      const taken = node.outputs.some((other) => {
        const otherPlace = storage.get(other);
        return otherPlace?.kind === "arena" && otherPlace.request === place.request;
      });
      if (block !== undefined && block.last === step && !taken && (sharedInputs === 1 || node.op.name === "map")) {
        return place.request;
      }
    }
    return undefined;
  }

  return { steps, types, storage, requests, copies };
}
