// Node: kernels from the package's dist folder, threads by worker_threads.
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { RuntimeError } from "../../types.ts";
import type { WasmHost } from "../host.ts";

/** Where the build puts the binaries: the same relative place from src/ and from dist/. */
const kernelFolder =
  process.env.HYBRAID_KERNELS ?? fileURLToPath(new URL("../../../../dist/kernels/", import.meta.url));

export const nodeHost: WasmHost = {
  cores: availableParallelism(),
  maySleep: true,
  // Node 20 has relaxed SIMD behind a flag; later versions have it on and know the flag still.
  prepare: () => setFlagsFromString("--experimental-wasm-relaxed-simd"),
  async binary(build) {
    const path = join(kernelFolder, `${build}.wasm`);
    try {
      return new Uint8Array(await readFile(path));
    } catch (cause) {
      throw new RuntimeError(`the kernels are not built: ${path} can't be read (npm run build:kernels)`, { cause });
    }
  },
  startWorker: (job) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: job, execArgv: [] });
      worker.once("message", () => {
        worker.unref();
        resolve({ terminate: async () => void (await worker.terminate()) });
      });
      worker.once("error", reject);
    }),
};
