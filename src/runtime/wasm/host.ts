// What the WebAssembly runtime needs from the place it runs in: the kernel binary, worker threads, and whether the calling
// thread may sleep. node/host.ts and browser/host.ts implement it.
import type { Build } from "./kernels.ts";

/** What a worker thread is started with (see instantiate-worker.js). */
export interface WorkerJob {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  readonly thread: number;
  readonly threads: number;
}

export interface WasmHost {
  /** Cores that threads can use. */
  readonly cores: number;
  /** Whether the calling thread may block (not on a browser's main thread). */
  readonly maySleep: boolean;
  /** Turns on engine features that are off by default, before anything is compiled. */
  prepare(): void;
  binary(build: Build): Promise<Uint8Array<ArrayBuffer>>;
  /** Starts a thread; resolves once it waits for programs. */
  startWorker(job: WorkerJob): Promise<{ terminate(): Promise<void> }>;
}

/** The host of this environment. */
export async function currentHost(): Promise<WasmHost> {
  const isNode = typeof process === "object" && typeof process.versions?.node === "string";
  return isNode ? (await import("./node/host.ts")).nodeHost : (await import("./browser/host.ts")).browserHost;
}
