// Browsers: kernels fetched beside the module, threads by Web Workers (which need a cross-origin isolated page).
import { RuntimeError } from "../../types.ts";
import type { WasmHost } from "../host.ts";

const binaries = {
  simd: new URL("../../../../dist/kernels/simd.wasm", import.meta.url),
  relaxed: new URL("../../../../dist/kernels/relaxed.wasm", import.meta.url),
};

export const browserHost: WasmHost = {
  cores: globalThis.navigator?.hardwareConcurrency ?? 1,
  // Only worker threads have no document; they may block.
  maySleep: typeof document === "undefined",
  prepare: () => {},
  async binary(build) {
    const response = await fetch(binaries[build]);
    if (!response.ok) throw new RuntimeError(`the kernels can't be fetched: ${response.status} for ${binaries[build]}`);
    return new Uint8Array(await response.arrayBuffer());
  },
  startWorker: (job) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      worker.onmessage = () => resolve({ terminate: async () => worker.terminate() });
      worker.onerror = (event) => reject(new RuntimeError(`a worker thread failed: ${event.message}`));
      worker.postMessage(job);
    }),
};
