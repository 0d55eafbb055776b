// Runs one op's wasm lowering on host arrays, without planner or workers: the kernels of a command are called for every
// thread in turn. Outputs and scratch are filled with NaN first, and a guard after each output must survive.
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { type BoundType, sizeOf } from "../../src/graph/shape.ts";
import type { OpDefinition } from "../../src/graph/types.ts";
import type { Layout, Scratch, WasmLowering, WasmTensor, Word } from "../../src/runtime/wasm/lowering.ts";

// Node 20 has relaxed SIMD behind this flag; later versions have it on and ignore it.
setFlagsFromString("--experimental-wasm-relaxed-simd");

export type Build = "simd" | "relaxed";
export const builds: readonly Build[] = ["simd", "relaxed"];

export interface HostInput extends BoundType {
  readonly data: ArrayLike<number>;
  readonly layout?: Layout;
}

export interface RunOptions {
  readonly build?: Build;
  readonly threads?: number;
  /** Outputs that something reads; all by default. */
  readonly wanted?: (index: number) => boolean;
  /** Where it runs; memory of its own by default. */
  readonly instance?: Instance;
  /** [input, output] pairs that share memory. */
  readonly inPlace?: readonly (readonly [number, number])[];
}

interface Placed extends WasmTensor {
  readonly address: number;
}

const modules = new Map<Build, WebAssembly.Module>();
const POISON = 0x7fc01234;

function moduleOf(build: Build): WebAssembly.Module {
  const known = modules.get(build);
  if (known !== undefined) return known;
  const compiled = new WebAssembly.Module(readFileSync(new URL(`../../dist/kernels/${build}.wasm`, import.meta.url)));
  modules.set(build, compiled);
  return compiled;
}

/** An instantiated build and its memory. */
export interface Instance {
  readonly memory: WebAssembly.Memory;
  readonly exports: WebAssembly.Exports;
}

export function instantiate(build: Build): Instance {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 65536, shared: true });
  return { memory, exports: new WebAssembly.Instance(moduleOf(build), { env: { memory } }).exports };
}

const instances = new Map<Build, Instance>();

/** The instance that {@link runLowered} uses again and again. */
function sharedInstance(build: Build): Instance {
  const known = instances.get(build) ?? instantiate(build);
  instances.set(build, known);
  return known;
}

/** A lowered op with its memory: run it as often as you like. */
export interface LoweredOp {
  run(): void;
  /** Output `index`, or undefined if it was not wanted. */
  output(index: number): Float32Array | Int32Array | undefined;
  /** Throws if anything wrote past the end of a tensor. */
  check(): void;
}

export function prepare<A>(
  op: OpDefinition<A>,
  lower: WasmLowering<A>,
  inputs: readonly (HostInput | undefined)[],
  attributes: A,
  options: RunOptions = {},
): LoweredOp {
  const { build = "simd", threads = 1, wanted = () => true, inPlace = [] } = options;
  const types = op.infer(inputs, attributes) as readonly BoundType[];
  const bytesOf = (shape: readonly number[]): number => (sizeOf(shape) * 4 + 127) & ~63;
  const scratchBytes: number[] = [];
  // The first lowering only counts: scratch sizes and argument words.
  let words = 0;
  const tensor = (type: BoundType, address: number, layout: Layout = "plain"): Placed => ({
    kind: "tensor",
    shape: type.shape,
    dtype: type.dtype,
    layout,
    address,
  });
  const lowered = (
    addresses: readonly (Placed | undefined)[],
    results: readonly (Placed | undefined)[],
    emit: {
      command(kernel: string, words: readonly Word[]): void;
      scratch(bytes: number): Scratch;
    },
  ): void => lower({ attributes, inputs: addresses, outputs: results }, { threads, ...emit });
  const nowhere = inputs.map((input) => input && tensor(input, 0, input.layout));
  lowered(
    nowhere,
    types.map((type, i) => (wanted(i) ? tensor(type, 0) : undefined)),
    {
      command: (_, list) => {
        words += list.length + 16;
      },
      scratch: (bytes) => {
        scratchBytes.push(bytes);
        return { kind: "scratch", bytes };
      },
    },
  );

  let free = 1 << 16;
  const take = (bytes: number): number => {
    const at = free;
    free += (bytes + 127) & ~63;
    return at;
  };
  const argsAt = take(words * 4);
  const placedInputs = inputs.map(
    (input) => input && tensor(input, take(Math.max(input.data.length * 4, bytesOf(input.shape))), input.layout),
  );
  const placedOutputs = types.map((type, i) => {
    if (!wanted(i)) return undefined;
    const shared = inPlace.find(([, output]) => output === i);
    const source = shared && placedInputs[shared[0]];
    return tensor(type, source ? source.address : take(bytesOf(type.shape)));
  });
  const scratchAt = scratchBytes.map(take);
  const { memory, exports } = options.instance ?? instantiate(build);
  const pages = Math.ceil(free / 65536) + 1 - memory.buffer.byteLength / 65536;
  if (pages > 0) memory.grow(pages);
  new Int32Array(memory.buffer, 1 << 16, ((free - (1 << 16)) >> 2) + 64).fill(POISON);
  for (const [i, input] of inputs.entries()) {
    const address = placedInputs[i]?.address ?? 0;
    if (input?.dtype === "i32") new Int32Array(memory.buffer, address, input.data.length).set(input.data);
    else if (input) new Float32Array(memory.buffer, address, input.data.length).set(input.data);
  }

  const view = new DataView(memory.buffer);
  const commands: {
    readonly kernel: (args: number, thread: number, threads: number) => void;
    readonly args: number;
  }[] = [];
  const addressOfScratch = new Map<Scratch, number>();
  let next = argsAt;
  let scratches = 0;
  lowered(placedInputs, placedOutputs, {
    command: (name, list) => {
      const kernel = exports[name];
      if (typeof kernel !== "function") throw new Error(`there is no kernel "${name}"`);
      const args = next;
      for (const word of list) {
        if (word === undefined) view.setUint32(next, 0, true);
        else if (typeof word === "number") view.setInt32(next, word, true);
        else if (word.kind === "float") view.setFloat32(next, word.value, true);
        else if (word.kind === "scratch") view.setUint32(next, addressOfScratch.get(word) ?? 0, true);
        else view.setUint32(next, (word as Placed).address, true);
        next += 4;
      }
      next = (next + 15) & ~15;
      commands.push({ kernel: kernel as (args: number, thread: number, threads: number) => void, args });
    },
    scratch: (bytes) => {
      const scratch: Scratch = { kind: "scratch", bytes };
      addressOfScratch.set(scratch, scratchAt[scratches++] ?? 0);
      return scratch;
    },
  });

  return {
    run() {
      for (const { kernel, args } of commands)
        for (let thread = 0; thread < threads; thread++) kernel(args, thread, threads);
    },
    output(index) {
      const place = placedOutputs[index];
      const ArrayType = place?.dtype === "i32" ? Int32Array : Float32Array;
      return place && new ArrayType(memory.buffer, place.address, sizeOf(place.shape)).slice();
    },
    check() {
      const all = new Int32Array(memory.buffer);
      const guard = (what: string, address: number, size: number): void => {
        const end = (address + size * 4) >> 2;
        for (let i = end; i % 16 !== 0 || i === end; i++) {
          if (all[i] !== POISON) throw new Error(`${what} was written past its end`);
        }
      };
      for (const [i, place] of placedOutputs.entries())
        if (place) guard(`output ${i}`, place.address, sizeOf(place.shape));
      for (const [i, at] of scratchAt.entries()) guard(`scratch ${i}`, at, (scratchBytes[i] ?? 0) >> 2);
    },
  };
}

/** Runs an op once and returns its outputs. */
export function runLowered<A>(
  op: OpDefinition<A>,
  lower: WasmLowering<A>,
  inputs: readonly (HostInput | undefined)[],
  attributes: A,
  options: RunOptions = {},
): (Float32Array | Int32Array | undefined)[] {
  const instance = options.instance ?? sharedInstance(options.build ?? "simd");
  const prepared = prepare(op, lower, inputs, attributes, { ...options, instance });
  prepared.run();
  prepared.check();
  return op.infer(inputs, attributes).map((_, i) => prepared.output(i));
}
