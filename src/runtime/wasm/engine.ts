// The engine under the WebAssembly runtime: memory, kernels and the threads that run programs in lockstep.
import { RuntimeError } from "../types.ts";
import type { WasmHost } from "./host.ts";
import { type Build, detectBuild, instantiateKernels, withUnsharedMemory } from "./kernels.ts";
import { canShareMemory, createHeap, type Heap } from "./memory.ts";

export interface WasmOptions {
  /** Threads, the calling one included; default one per core. More than one needs SharedArrayBuffer. */
  readonly threads?: number;
  /** Which binary; default the best that the engine can run. */
  readonly build?: Build;
}

export interface Engine {
  readonly heap: Heap;
  readonly threads: number;
  readonly build: Build;
  kernelIndex(kernel: string): number;
  /** Runs the program at an address on all threads; returns when all are done. */
  run(program: number): void;
  close(): Promise<void>;
}

const CONTROL_BYTES = 320;
/** Word of the control block that holds the table index of the executor's sleepWhile. */
const SLEEP_FUNCTION = 65;
const modules = new Map<string, Promise<WebAssembly.Module>>();

function compileKernels(host: WasmHost, build: Build, shared: boolean): Promise<WebAssembly.Module> {
  const key = `${build} ${shared}`;
  let module = modules.get(key);
  if (module === undefined) {
    module = host.binary(build).then((binary) => WebAssembly.compile(shared ? binary : withUnsharedMemory(binary)));
    modules.set(key, module);
    module.catch(() => modules.delete(key));
  }
  return module;
}

export async function createEngine(host: WasmHost, options: WasmOptions): Promise<Engine> {
  host.prepare();
  const build = options.build ?? detectBuild();
  const shared = canShareMemory();
  const wanted = options.threads ?? host.cores;
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > 64) {
    throw new RuntimeError(`threads is ${wanted}; allowed are whole numbers from 1 to 64`);
  }
  const threads = shared ? wanted : 1;
  const module = await compileKernels(host, build, shared);
  const heap = createHeap(shared);
  const kernels = instantiateKernels(module, heap.memory);
  const control = heap.allocate(CONTROL_BYTES);
  const words = heap.integers(control, CONTROL_BYTES / 4).fill(0);
  words[SLEEP_FUNCTION] = kernels.index("sleepWhile");
  const workers = await Promise.all(
    Array.from({ length: threads - 1 }, (_, i) =>
      host.startWorker({ module, memory: heap.memory, control, thread: i + 1, threads }),
    ),
  );
  let closed = false;
  return {
    heap,
    threads,
    build,
    kernelIndex: kernels.index,
    run(program) {
      if (closed) throw new RuntimeError("the runtime was closed, or a kernel failed");
      try {
        kernels.runProgram(program, control, threads, host.maySleep ? 1 : 0);
      } catch (cause) {
        // The threads are no longer in step: nothing can be run here any more.
        closed = true;
        kernels.markFailed(control);
        throw new RuntimeError(`a kernel failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
      }
    },
    async close() {
      if (threads > 1 && !closed) kernels.stopWorkers(control);
      closed = true;
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}
