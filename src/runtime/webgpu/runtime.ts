// Any GPU, through WebGPU: WGSL kernels, pipelines specialised by shape, one submit per step.
import { type Runtime, RuntimeError } from "../types.ts";
import { WebGpuBuffer } from "./buffer.ts";
import { type GpuOptions, openDevice } from "./device.ts";
import { currentGpuHost, type GpuHost } from "./host.ts";
import { PipelineCache } from "./pipelines.ts";
import { compileProgram } from "./program.ts";
import { lowerings } from "./table.ts";
import { compileTuned } from "./tune.ts";
import { Tuner } from "./tuner.ts";

export type { GpuOptions } from "./device.ts";

/**
 * Opens the adapter and loads the kernels.
 * @param given where WebGPU, kernels and tuning results come from; by default this environment's
 * @throws RuntimeError where there is no such adapter, no kernels, or no shader-f16 for activations as f16
 */
export async function createWebGpuRuntime(options: GpuOptions = {}, given?: GpuHost): Promise<Runtime> {
  const host = given ?? (await currentGpuHost());
  const texts = await host.kernels();
  const context = await openDevice(host, options);
  const { activations = "f32" } = options;
  const requireHalves = (what: string): void => {
    if (!context.facts.f16)
      throw new RuntimeError(`${what} as f16 need shader-f16, which this adapter lacks (${context.description})`);
  };
  if (activations === "f16") requireHalves("activations");
  const machine = {
    context,
    activations,
    pipelines: new PipelineCache(context, texts),
    tuner: await Tuner.open(host, context.key),
  };
  return {
    name: "webgpu",
    description: context.description,
    supports: (node) =>
      node.op.leaf !== undefined || node.op.view || node.op.name in lowerings || `${node.op.name} has no WebGPU kernel`,
    buffer(type, data, { storage = "f32" } = {}) {
      if (storage === "f16") requireHalves("weights");
      const buffer = new WebGpuBuffer(context, type, type.dtype === "i32" ? "i32" : storage);
      if (data !== undefined) buffer.write(data);
      return buffer;
    },
    compile: (graph, compileOptions) => (options.tune ? compileTuned : compileProgram)(graph, compileOptions, machine),
    async close() {
      context.device.destroy();
    },
  };
}
