// The kernel binaries: which build this machine can run, and an instance of it on a given memory.
import { RuntimeError } from "../types.ts";

/** `relaxed` has fused multiply-add (relaxed SIMD), `simd` multiplies, then adds. */
export type Build = "simd" | "relaxed";

/** (module (func (param v128 v128 v128) (result v128) local.get 0, 1, 2, f32x4.relaxed_madd)) */
const relaxedProbe = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2,
  253, 133, 2, 11,
]);

/** The best build that this engine validates. */
export function detectBuild(): Build {
  return WebAssembly.validate(relaxedProbe) ? "relaxed" : "simd";
}

/** Arguments of a kernel: the address of its words, this thread's number, how many threads run it. */
export type Kernel = (args: number, thread: number, threads: number) => void;

export interface KernelInstance {
  /** Function table index of an exported kernel: the same in every thread. */
  index(kernel: string): number;
  readonly runProgram: (program: number, control: number, threads: number, maySleep: number) => void;
  readonly runWorker: (control: number, thread: number, threads: number, job: number) => void;
  readonly stopWorkers: (control: number) => void;
  /** Makes every thread that waits for another trap: one of them has. */
  readonly markFailed: (control: number) => void;
}

/**
 * The memory import of the binaries is declared shared. Where threads are impossible the flag is cleared, so that the
 * same binary runs on ordinary memory: the import's limits byte 3 (shared, maximum) becomes 1 (maximum).
 */
export function withUnsharedMemory(binary: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode("memory");
  for (let i = 0; i + name.length + 1 < binary.length; i++) {
    const isImport = name.every((byte, j) => binary[i + j] === byte) && binary[i + name.length] === 2;
    if (!isImport || binary[i + name.length + 1] !== 3) continue;
    const copy = binary.slice();
    copy[i + name.length + 1] = 1;
    return copy;
  }
  throw new RuntimeError("the kernel binary has no shared memory import");
}

type Exports = Record<string, WebAssembly.ExportValue>;

function exported<T>(exports: Exports, name: string): T {
  const value = exports[name];
  if (typeof value !== "function") throw new RuntimeError(`the kernel binary has no function ${name}`);
  return value as T;
}

/** Instantiates the kernels and enters every exported function into the table, in the order of their names. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): KernelInstance {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const table = exports.table;
  if (!(table instanceof WebAssembly.Table)) throw new RuntimeError("the kernel binary exports no table");
  const names = Object.keys(exports)
    .filter((name) => typeof exports[name] === "function")
    .sort();
  const base = table.grow(names.length);
  const indices = new Map(names.map((name, i) => [name, base + i] as const));
  for (const [name, index] of indices) table.set(index, exports[name]);
  return {
    index(kernel) {
      const index = indices.get(kernel);
      if (index === undefined) throw new RuntimeError(`there is no kernel named ${kernel}`);
      return index;
    },
    runProgram: exported(exports, "runProgram"),
    runWorker: exported(exports, "runWorker"),
    stopWorkers: exported(exports, "stopWorkers"),
    markFailed: exported(exports, "markFailed"),
  };
}
