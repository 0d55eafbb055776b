// What ends badly ends with a message: no adapter, a lost device, exhausted memory, a kernel that does not compile.
import { afterEach, describe, expect, it } from "vitest";
import { makeGraph } from "../../../src/graph/graph.ts";
import { input } from "../../../src/graph/leaves.ts";
import { createModel } from "../../../src/model/create.ts";
import { add } from "../../../src/ops/map/op.ts";
import { createRuntime } from "../../../src/runtime/index.ts";
import type { Runtime } from "../../../src/runtime/types.ts";
import { currentGpuHost, type GpuHost } from "../../../src/runtime/webgpu/host.ts";
import { createWebGpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { loadSpec } from "../../../src/spec/load.ts";
import { Trainer } from "../../../src/train/trainer.ts";
import { ARCHITECTURE } from "../../train/tiny-run.ts";

const SOFTWARE = { adapter: "software", limits: "default", subgroups: false, f16: false } as const;
const opened: Runtime[] = [];
afterEach(async () => {
  for (const runtime of opened.splice(0)) await runtime.close();
});
async function open(host?: GpuHost, options: Parameters<typeof createWebGpuRuntime>[0] = SOFTWARE): Promise<Runtime> {
  const runtime = await createWebGpuRuntime(options, host);
  opened.push(runtime);
  return runtime;
}

/** The real host, but for some of it. */
async function hostWith(changes: Partial<GpuHost>): Promise<GpuHost> {
  return { ...(await currentGpuHost()), ...changes };
}
const gpuWith = (requestAdapter: GPU["requestAdapter"]): GPU => ({ requestAdapter }) as unknown as GPU;

/** A host whose device can be declared lost, as a driver does. */
async function losingHost(): Promise<{ readonly host: GpuHost; lose(message: string): void }> {
  let lose: (info: GPUDeviceLostInfo) => void = () => {};
  const lost = new Promise<GPUDeviceLostInfo>((resolve) => {
    lose = resolve;
  });
  const real = await (await currentGpuHost()).gpu();
  const host = await hostWith({
    gpu: async () =>
      gpuWith(async (options) => {
        const adapter = await real.requestAdapter(options);
        if (adapter === null) return null;
        const request = adapter.requestDevice.bind(adapter);
        Object.defineProperty(adapter, "requestDevice", {
          value: async (descriptor: GPUDeviceDescriptor) =>
            Object.defineProperty(await request(descriptor), "lost", { value: lost }),
        });
        return adapter;
      }),
  });
  return { host, lose: (message) => lose({ reason: "unknown", message } as GPUDeviceLostInfo) };
}

const a = input("a", [4]);
const sum = makeGraph({ outputs: [{ name: "y", tensor: add(a, a) }] });
const sizes = { bindings: { B: 1, T: 1, C: 0 }, buffers: new Map() };
const values = { a: Float32Array.of(1, 2, 3, 4) };

describe("opening says what is missing", () => {
  it("no adapter", async () => {
    const host = await hostWith({ gpu: async () => gpuWith(async () => null) });
    await expect(open(host, {})).rejects.toThrow(/^there is no GPU that WebGPU can use here; allowed: device wasm/);
    await expect(open(host)).rejects.toThrow(/^there is no software GPU here \(a Vulkan driver/);
  });

  it("only a software adapter, where a real one is asked for", async () => {
    await expect(open(undefined, { adapter: "hardware" })).rejects.toThrow(
      /^the only adapter is software \(.+\); allowed: device wasm, which is faster, or webgpu:software$/,
    );
  });

  it("kernels that were not built", async () => {
    await expect(
      open(await hostWith({ kernels: async () => ({}) })).then((r) => r.compile(sum, sizes)),
    ).rejects.toThrow("there is no kernel file kernels/map/map.wgsl (npm run build:kernels)");
  });

  it("halves on a CPU, which has none", async () => {
    await expect(createRuntime("wasm", { activations: "f16" })).rejects.toThrow(
      "activations as f16 need webgpu: wasm has only f32",
    );
    await expect(createModel(ARCHITECTURE, { device: "wasm", weightStorage: "int8" })).rejects.toThrow(
      "weights as int8 need webgpu; wasm keeps them as f32",
    );
  });

  it("halves on an adapter that has none", async () => {
    await expect(open(undefined, { ...SOFTWARE, activations: "f16" })).rejects.toThrow(
      /^activations as f16 need shader-f16, which this adapter lacks \(WebGPU, /,
    );
    const runtime = await open();
    expect(() => runtime.buffer({ shape: [4], dtype: "f32" }, undefined, { storage: "f16" })).toThrow(
      "weights as f16 need shader-f16",
    );
  });
});

describe("a kernel that does not compile", () => {
  const broken = async (change: (text: string) => string): Promise<unknown> => {
    const texts = await (await currentGpuHost()).kernels();
    const changed = { ...texts, "map/map.wgsl": change(texts["map/map.wgsl"] ?? "") };
    const runtime = await open(await hostWith({ kernels: async () => changed }));
    return runtime.compile(sum, sizes).then(
      () => "compiled",
      (error: Error) => error.message,
    );
  };

  it("is shown at its file and line", async () => {
    const line = "  let i = id.x + no_such_name;";
    const found = await broken((text) => text.replace(/^ {2}let i = id\.x.*$/m, line));
    const texts = await (await currentGpuHost()).kernels();
    const number = (texts["map/map.wgsl"] ?? "").split("\n").findIndex((text) => text.startsWith("  let i = id.x")) + 1;
    expect(found).toContain("map does not compile:");
    expect(found).toContain(`kernels/map/map.wgsl:${number}:18  unresolved value 'no_such_name'`);
    expect(found).toContain("let i = id.x + no_such_name;");
  });

  it("leaves the runtime usable", async () => {
    const runtime = await open();
    const program = await runtime.compile(sum, sizes);
    expect((await program.run(values)).y).toEqual(Float32Array.of(2, 4, 6, 8));
  });
});

describe("memory", () => {
  it("beyond what a buffer may hold is refused with both numbers", async () => {
    const runtime = await open();
    expect(() => runtime.buffer({ shape: [2 ** 28], dtype: "f32" })).toThrow(
      "a buffer of 1073741824 bytes is wanted, but this device has buffers of at most 268435456",
    );
    const large = input("x", [2 ** 27]);
    const graph = makeGraph({ outputs: [{ name: "y", tensor: add(add(large, large), large) }] });
    await expect(runtime.compile(graph, sizes)).rejects.toThrow("buffers of at most 268435456");
    const program = await runtime.compile(sum, sizes);
    expect((await program.run(values)).y).toEqual(Float32Array.of(2, 4, 6, 8));
  });
});

describe("inputs and programs", () => {
  it("wrong inputs are named", async () => {
    const program = await (await open()).compile(sum, sizes);
    await expect(program.run({})).rejects.toThrow('input "a" is missing');
    await expect(program.run({ a: new Float32Array(3) })).rejects.toThrow(
      'input "a" has 3 elements, must have 4 for shape [4]',
    );
    program.free();
    await expect(program.run(values)).rejects.toThrow("the program was freed");
  });
});

describe("a lost device", () => {
  it("ends what waits for it and everything after, with the driver's reason", async () => {
    const { host, lose } = await losingHost();
    const runtime = await open(host);
    const program = await runtime.compile(sum, sizes);
    const buffer = runtime.buffer({ shape: [4], dtype: "f32" }, values.a);
    lose("the driver was reset");
    await Promise.resolve();
    await expect(program.run(values)).rejects.toThrow("the GPU was lost: the driver was reset");
    await expect(buffer.read()).rejects.toThrow("the GPU was lost: the driver was reset");
    await expect(runtime.compile(sum, sizes)).rejects.toThrow("the GPU was lost");
  });

  it("says that a closed runtime was closed", async () => {
    const runtime = await createWebGpuRuntime(SOFTWARE);
    const program = await runtime.compile(sum, sizes);
    await runtime.close();
    await expect(program.run(values)).rejects.toThrow("the runtime was closed");
  });

  it("does not cost the training: it goes on from its checkpoint as if nothing had been", async () => {
    const trainer = async (runtime: Runtime): Promise<Trainer> => {
      let index = 0;
      const draw = (k: number) => Int32Array.from({ length: 16 }, (_, i) => (i * 31 + k * 7) % 256);
      return Trainer.create({
        spec: loadSpec(ARCHITECTURE),
        runtime,
        batches: {
          batch: 1,
          length: 16,
          next: () => ({ tokens: draw(index), targets: draw(++index) }),
          position: () => ({ order: "sequential", window: index }),
          restore: (position) => {
            if (position.order === "sequential") index = position.window;
          },
        },
        betas: [0.9, 0.95],
        eps: 1e-8,
        weightDecay: 0.1,
        gradientClip: 1,
        accumulation: 1,
        checkpointing: false,
        seed: 0,
      });
    };
    const steps = async (one: Trainer, count: number): Promise<number[]> => {
      const losses: number[] = [];
      for (let i = 0; i < count; i++) losses.push((await one.trainStep(0.01)).loss);
      return losses;
    };
    const whole = await steps(await trainer(await open()), 4);
    const { host, lose } = await losingHost();
    const first = await trainer(await open(host));
    expect(await steps(first, 2)).toEqual(whole.slice(0, 2));
    const checkpoint = await first.checkpoint({});
    lose("unplugged");
    await Promise.resolve();
    await expect(steps(first, 1)).rejects.toThrow("the GPU was lost: unplugged");
    const second = await trainer(await open());
    second.restore(checkpoint);
    expect(await steps(second, 2)).toEqual(whole.slice(2));
  });
});
