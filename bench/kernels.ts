// Runs single kernels on several threads, for benchmarks below the level of a program: the calling thread is thread 0, the
// others are workers that spin for a moment between kernels and then sleep.
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";

// Node 20 has relaxed SIMD behind this flag; later versions have it on and ignore it.
setFlagsFromString("--experimental-wasm-relaxed-simd");

type Kernel = (args: number, thread: number, threads: number) => void;

/** Words of the control block at the start of memory, and the byte address of the kernel arguments. */
const words = { generation: 2048, pending: 2064, kernel: 2080, threads: 2081, args: 1 << 14 };

export class KernelBench {
  private next = 1 << 16;
  private readonly control: Int32Array;

  private constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly kernels: Readonly<Record<string, Kernel>>,
    private readonly names: readonly string[],
    private readonly workers: readonly Worker[],
  ) {
    this.control = new Int32Array(memory.buffer);
  }

  /** Compiles dist/kernels/<build>.wasm for `threads` threads and `megabytes` of memory. */
  static async start(build: "simd" | "relaxed", threads: number, megabytes: number): Promise<KernelBench> {
    const memory = new WebAssembly.Memory({ initial: megabytes * 16, maximum: 65536, shared: true });
    const module = await WebAssembly.compile(readFileSync(new URL(`../dist/kernels/${build}.wasm`, import.meta.url)));
    const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
    const names = Object.keys(exports).filter((name) => typeof exports[name] === "function");
    const workers = Array.from({ length: threads - 1 }, (_, i) => {
      const workerData = { memory, module, thread: i + 1, names, words };
      return new Worker(new URL("./kernel-worker.mjs", import.meta.url), { workerData });
    });
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("message", resolve))));
    return new KernelBench(memory, exports as Record<string, Kernel>, names, workers);
  }

  /** Address of `floats` new words, 64-byte aligned, and a view of them. */
  allocate(floats: number): { readonly address: number; readonly data: Float32Array } {
    const address = this.next;
    this.next += Math.ceil(floats / 16) * 64;
    return { address, data: new Float32Array(this.memory.buffer, address, floats) };
  }

  /** Runs a kernel with these argument words (integers and addresses) on the first `threads` threads. */
  run(name: string, args: readonly number[], threads = this.workers.length + 1): void {
    const { control } = this;
    for (let i = 0; i < args.length; i++) control[words.args / 4 + i] = args[i] ?? 0;
    const kernel = this.kernels[name];
    if (kernel === undefined) throw new Error(`no kernel ${name}`);
    if (threads === 1) {
      kernel(words.args, 0, 1);
      return;
    }
    control[words.kernel] = this.names.indexOf(name);
    control[words.threads] = threads;
    Atomics.store(control, words.pending, this.workers.length);
    Atomics.add(control, words.generation, 1);
    Atomics.notify(control, words.generation);
    kernel(words.args, 0, threads);
    while (Atomics.load(control, words.pending) > 0);
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}
