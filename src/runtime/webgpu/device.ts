// The adapter and the device: which one, with which limits and features, and what becomes of its errors.
import { RuntimeError } from "../types.ts";
import type { GpuHost } from "./host.ts";
import type { DeviceFacts } from "./lowering.ts";

export interface GpuOptions {
  /** `hardware` refuses software adapters, `software` asks for one. Default hardware. */
  readonly adapter?: "hardware" | "software";
  /** `default`: no more than WebGPU guarantees everywhere. Default: what the adapter has. */
  readonly limits?: "adapter" | "default";
  /** Use subgroup operations where the adapter has them. Default true. */
  readonly subgroups?: boolean;
  /** f16 keeps what layers hand to each other as halves, in programs without gradients. Default f32. */
  readonly activations?: "f32" | "f16" | undefined;
  /** Use shader-f16 where the adapter has it. Default true. */
  readonly f16?: boolean;
  /** Measure kernels that can be launched in several ways, when a program is compiled that no earlier one has told about. Default false. */
  readonly tune?: boolean;
  /** Bind at most this many bytes at once, if the device allows more: to test that larger tensors are cut. */
  readonly maxBinding?: number;
}

/** A device with its facts, and the first error that nobody was waiting for. */
export interface GpuContext {
  readonly device: GPUDevice;
  readonly facts: DeviceFacts;
  readonly description: string;
  /** Names adapter, driver and options: what was tuned for one key holds for no other. */
  readonly key: string;
  readonly maxBuffer: number;
  readonly timestamps: boolean;
  /** Throws what went wrong since the last call: a lost device, a validation error, exhausted memory. */
  check(): void;
  /** Waits for work of the device; rejects when it is lost. */
  wait<T>(work: Promise<T>): Promise<T>;
}

/** Limits that kernels can make use of; the others stay at their defaults. */
const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

const HARDWARE: GPURequestAdapterOptions = { powerPreference: "high-performance" };

/** Dawn does not find every software adapter when asked for a fallback, but offers it where there is nothing better. */
async function softwareAdapter(gpu: GPU): Promise<GPUAdapter | null> {
  const fallback = await gpu.requestAdapter({ forceFallbackAdapter: true });
  if (fallback !== null) return fallback;
  const adapter = await gpu.requestAdapter();
  return adapter?.info.isFallbackAdapter === true ? adapter : null;
}

/** @throws RuntimeError where there is no such adapter, naming what there is. */
export async function openDevice(host: GpuHost, options: GpuOptions = {}): Promise<GpuContext> {
  const { adapter: wanted = "hardware", limits = "adapter", subgroups = true, f16 = true } = options;
  const gpu = await host.gpu();
  const adapter = wanted === "software" ? await softwareAdapter(gpu) : await gpu.requestAdapter(HARDWARE);
  if (adapter === null) {
    throw new RuntimeError(
      wanted === "software"
        ? "there is no software GPU here (a Vulkan driver such as Mesa's lavapipe or SwiftShader is needed)"
        : "there is no GPU that WebGPU can use here; allowed: device wasm, or webgpu:software where a software driver is installed",
    );
  }
  const { info } = adapter;
  const name = [info.vendor, info.architecture, info.description].filter((part) => part !== "").join(" ") || "unnamed";
  if (wanted === "hardware" && info.isFallbackAdapter) {
    throw new RuntimeError(
      `the only adapter is software (${name}); allowed: device wasm, which is faster, or webgpu:software`,
    );
  }
  const has = (feature: GPUFeatureName): boolean => adapter.features.has(feature);
  const useSubgroups = subgroups && has("subgroups");
  const useF16 = f16 && has("shader-f16");
  const timestamps = has("timestamp-query");
  const device = await adapter.requestDevice({
    requiredFeatures: [
      ...(useSubgroups ? (["subgroups"] as const) : []),
      ...(useF16 ? (["shader-f16"] as const) : []),
      ...(timestamps ? (["timestamp-query"] as const) : []),
    ],
    requiredLimits:
      limits === "default" ? {} : Object.fromEntries(wantedLimits.map((limit) => [limit, adapter.limits[limit]])),
  });
  let failure: RuntimeError | undefined;
  let loss: RuntimeError | undefined;
  device.onuncapturederror = ({ error }) => {
    failure ??= new RuntimeError(
      error instanceof GPUOutOfMemoryError ? `out of GPU memory: ${error.message}` : `WebGPU: ${error.message}`,
    );
  };
  const lost = device.lost.then(({ reason, message }): never => {
    loss = new RuntimeError(
      reason === "destroyed" ? "the runtime was closed" : `the GPU was lost: ${message || "the driver gave no reason"}`,
    );
    throw loss;
  });
  // Whoever waits for work races with it; nobody waiting is no unhandled rejection.
  lost.catch(() => {});
  const variant = [useSubgroups ? "subgroups" : "no subgroups", useF16 ? "f16" : "no f16", limits].join(", ");
  return {
    device,
    facts: {
      subgroups: useSubgroups,
      subgroupMinSize: info.subgroupMinSize || 4,
      subgroupMaxSize: info.subgroupMaxSize || 128,
      f16: useF16,
      workgroupMemory: device.limits.maxComputeWorkgroupStorageSize,
      invocations: device.limits.maxComputeInvocationsPerWorkgroup,
      maxBinding: Math.min(
        device.limits.maxStorageBufferBindingSize,
        device.limits.maxBufferSize,
        options.maxBinding ?? Number.POSITIVE_INFINITY,
      ),
      maxStorageBindings: device.limits.maxStorageBuffersPerShaderStage,
    },
    description: `WebGPU, ${name}`,
    key: `${name}, ${variant}`,
    maxBuffer: device.limits.maxBufferSize,
    timestamps,
    check() {
      // A lost device stays lost; other errors are told once.
      const thrown = loss ?? failure;
      failure = undefined;
      if (thrown !== undefined) throw thrown;
    },
    wait: (work) => {
      const either = Promise.race([work, lost]);
      return host.pace?.(either) ?? either;
    },
  };
}
