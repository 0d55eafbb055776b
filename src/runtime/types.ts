// What every runtime offers: buffers that outlive a program, and programs compiled from graphs. A runtime knows nothing
// of models; a graph knows nothing of devices.
import type { Bindings, BoundType, DType } from "../graph/shape.ts";
import type { Graph, Node } from "../graph/types.ts";

/** Host memory of a tensor, row-major. */
export type HostArray = Float32Array | Int32Array;

/** A tensor in a runtime's memory that outlives programs: a parameter or a state. */
export interface Buffer extends BoundType {
  readonly dtype: DType;
  /** Replaces the contents. `data` has one element per element of the shape. */
  write(data: HostArray): void;
  /** A copy of the contents, row-major whatever the layout in memory. */
  read(): Promise<HostArray>;
  /** Gives the memory back. Programs that use the buffer must not run any more. */
  free(): void;
}

export interface CompileOptions {
  readonly bindings: Bindings;
  /** A buffer for every parameter and state of the graph, by name. */
  readonly buffers: ReadonlyMap<string, Buffer>;
  /** Fills working memory with NaN before every run: shows kernels that read what nothing has written. Default false. */
  readonly poison?: boolean;
}

/** How a node is run (or several that share launches), for `model.explain()`. */
export interface Explanation {
  readonly node: string;
  readonly op: string;
  /** One for each launch, with the reason for its variant where the runtime gives one. */
  readonly kernels: readonly string[];
  readonly flops: number;
  readonly bytes: number;
}

/** One kernel launch and how long it took. */
export interface LaunchTime {
  /** The node that it computes, or the state that it updates. */
  readonly node: string;
  readonly op: string;
  readonly kernel: string;
  readonly seconds: number;
  /** Which entry of `explain()` it belongs to; none for copies of states. */
  readonly explanation?: number;
}

/** A graph bound to sizes and buffers. */
export interface Program {
  readonly bindings: Bindings;
  /** Bytes of memory for values in flight. */
  readonly arenaBytes: number;
  /**
   * Runs once: reads the inputs (one array for each input of the graph), updates the states in their buffers and returns
   * a copy of each requested output (all of them by default).
   */
  run(
    inputs: Readonly<Record<string, HostArray>>,
    outputs?: readonly string[],
  ): Promise<Readonly<Record<string, HostArray>>>;
  /**
   * Runs once like `run`, but one launch at a time with all threads waiting for each other in between, and times every
   * launch. `now`: milliseconds, by default of the wall clock. Absent on runtimes that can't time a launch.
   */
  profile?(inputs: Readonly<Record<string, HostArray>>, now?: () => number): Promise<readonly LaunchTime[]>;
  explain(): readonly Explanation[];
  free(): void;
}

/** How weights are kept in memory. int8 and int4: blocks of 32 elements, symmetric, with one f32 scale each. */
export const weightStorages = ["f32", "f16", "int8", "int4"] as const;
export type WeightStorage = (typeof weightStorages)[number];

export interface BufferOptions {
  /** Default f32. Narrower types are for weights that no program writes. */
  readonly storage?: WeightStorage;
  /** The weight is read as b of a matmul with transposed b ([N, K]), or is several such ([E, N, K]), and is not written by any program: it may be packed. */
  readonly packed?: boolean;
}

export interface Runtime {
  readonly name: string;
  /** One line on the device: threads, instruction set, adapter. */
  readonly description: string;
  /** Yes, or the reason why this node can't run here. */
  supports(node: Node): true | string;
  buffer(type: BoundType, data?: HostArray, options?: BufferOptions): Buffer;
  compile(graph: Graph, options: CompileOptions): Promise<Program>;
  /** Ends threads and gives all memory back. */
  close(): Promise<void>;
}

/** A program was asked to do what it can't: wrong inputs, memory exhausted, an unsupported op. */
export class RuntimeError extends Error {
  override name = "RuntimeError";
}

/** For runtimes that keep everything in f32. */
export function requireFullPrecision(runtime: string, { storage = "f32" }: BufferOptions): void {
  if (storage !== "f32") throw new RuntimeError(`the ${runtime} runtime keeps weights as f32 only, not ${storage}`);
}

/** Checks an input or buffer contents against its type. */
export function checkArray(what: string, type: BoundType, data: HostArray | undefined): HostArray {
  const expected = type.shape.reduce((n, d) => n * d, 1);
  if (data === undefined) throw new RuntimeError(`${what} is missing`);
  const dtype = data instanceof Int32Array ? "i32" : "f32";
  if (dtype !== type.dtype) throw new RuntimeError(`${what} is ${dtype}, must be ${type.dtype}`);
  if (data.length !== expected) {
    throw new RuntimeError(
      `${what} has ${data.length} elements, must have ${expected} for shape [${type.shape.join(", ")}]`,
    );
  }
  return data;
}
