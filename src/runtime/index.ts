// Choosing a runtime by name.
import { createReferenceRuntime } from "./reference/runtime.ts";
import { type Runtime, RuntimeError } from "./types.ts";
import { createWasmRuntime } from "./wasm/runtime.ts";
import type { GpuOptions } from "./webgpu/device.ts";

export const devices = ["auto", "wasm", "webgpu", "webgpu:software", "reference"] as const;
export type Device = (typeof devices)[number];

export interface RuntimeOptions {
  /** Threads of the wasm runtime; default one per core. */
  readonly threads?: number | undefined;
  /** webgpu: f16 keeps what layers hand to each other as halves, where the adapter has shader-f16. Default f32. */
  readonly activations?: "f32" | "f16" | undefined;
  /** webgpu: measure kernels that can be launched in several ways, and remember for this adapter which was fastest. Default false. */
  readonly tune?: boolean | undefined;
}

/**
 * `auto` takes webgpu where WebGPU has a hardware adapter, else wasm; `webgpu` insists on hardware, `webgpu:software` asks
 * for an adapter that computes on the CPU, which is for tests.
 * @throws RuntimeError where the device is not to be had, saying why.
 */
export async function createRuntime(device: Device = "auto", options: RuntimeOptions = {}): Promise<Runtime> {
  const runtime = await openRuntime(device, options);
  if (options.activations !== "f16" || runtime.name === "webgpu") return runtime;
  await runtime.close();
  const found = device === "auto" ? `there is no GPU with shader-f16 here, and ${runtime.name}` : runtime.name;
  throw new RuntimeError(`activations as f16 need webgpu: ${found} has only f32`);
}

async function openRuntime(device: Device, { threads, activations, tune = false }: RuntimeOptions): Promise<Runtime> {
  switch (device) {
    case "auto":
      return (await hardwareGpu({ activations, tune })) ?? createWasmRuntime(threads === undefined ? {} : { threads });
    case "wasm":
      return createWasmRuntime(threads === undefined ? {} : { threads });
    case "webgpu":
    case "webgpu:software": {
      const { createWebGpuRuntime } = await import("./webgpu/runtime.ts");
      return createWebGpuRuntime({ adapter: device === "webgpu" ? "hardware" : "software", activations, tune });
    }
    case "reference":
      return createReferenceRuntime();
    default:
      throw new RuntimeError(`"${String(device)}" is not a device; allowed: ${devices.join(", ")}`);
  }
}

/** A runtime on a real GPU, if there is one. */
async function hardwareGpu(options: Pick<GpuOptions, "activations" | "tune">): Promise<Runtime | undefined> {
  try {
    const { createWebGpuRuntime } = await import("./webgpu/runtime.ts");
    return await createWebGpuRuntime({ adapter: "hardware", ...options });
  } catch {
    return undefined;
  }
}
