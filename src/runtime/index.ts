// Choosing a runtime by name.
import { createReferenceRuntime } from "./reference/runtime.ts";
import { type Runtime, RuntimeError } from "./types.ts";
import { createWasmRuntime } from "./wasm/runtime.ts";

export const devices = ["auto", "wasm", "webgpu", "webgpu:software", "reference"] as const;
export type Device = (typeof devices)[number];

export interface RuntimeOptions {
  /** Threads of the wasm runtime; default one per core. */
  readonly threads?: number | undefined;
  /** webgpu: f16 keeps what layers hand to each other as halves, where the adapter has shader-f16. Default f32. */
  readonly activations?: "f32" | "f16" | undefined;
}

/**
 * `auto` takes webgpu where WebGPU has a hardware adapter, else wasm; `webgpu` insists on hardware, `webgpu:software` asks
 * for an adapter that computes on the CPU, which is for tests.
 * @throws RuntimeError where the device is not to be had, saying why.
 */
export async function createRuntime(
  device: Device = "auto",
  { threads, activations }: RuntimeOptions = {},
): Promise<Runtime> {
  switch (device) {
    case "auto":
      return (await hardwareGpu()) ?? createWasmRuntime(threads === undefined ? {} : { threads });
    case "wasm":
      return createWasmRuntime(threads === undefined ? {} : { threads });
    case "webgpu":
    case "webgpu:software": {
      const { createWebGpuRuntime } = await import("./webgpu/runtime.ts");
      return createWebGpuRuntime({ adapter: device === "webgpu" ? "hardware" : "software", activations });
    }
    case "reference":
      return createReferenceRuntime();
    default:
      throw new RuntimeError(`"${String(device)}" is not a device; allowed: ${devices.join(", ")}`);
  }
}

/** A runtime on a real GPU, if there is one. */
async function hardwareGpu(): Promise<Runtime | undefined> {
  try {
    const { createWebGpuRuntime } = await import("./webgpu/runtime.ts");
    return await createWebGpuRuntime({ adapter: "hardware" });
  } catch {
    return undefined;
  }
}
