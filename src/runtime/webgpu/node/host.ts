// Node: WebGPU through Dawn (npm `webgpu`), kernels from the package's dist folder, tuning results in the user's cache.
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RuntimeError } from "../../types.ts";
import type { GpuHost, KernelTexts } from "../host.ts";

/** Where the build puts the texts: the same relative place from src/ and from dist/. */
const texts = join(
  process.env.HYBRAID_KERNELS ?? fileURLToPath(new URL("../../../../dist/kernels/", import.meta.url)),
  "wgsl.json",
);
const cache = process.env.HYBRAID_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "hybraid");

/** Dawn's instance: adapters and devices stop working when it is collected. */
let instance: Promise<GPU> | undefined;

/** Zeroed by a loop, workgroup memory compiles everywhere; by Vulkan's extension, SwiftShader takes seconds for each kernel. */
const OPTIONS = ["disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension"];

async function openDawn(): Promise<GPU> {
  try {
    const { create, globals } = await import("webgpu");
    Object.assign(globalThis, globals);
    return create(OPTIONS);
  } catch (cause) {
    throw new RuntimeError('WebGPU in Node needs the package "webgpu" (npm install webgpu)', { cause });
  }
}

export const nodeHost: GpuHost = {
  gpu() {
    instance ??= openDawn();
    return instance;
  },
  async kernels() {
    try {
      return JSON.parse(await readFile(texts, "utf8")) as KernelTexts;
    } catch (cause) {
      throw new RuntimeError(`the kernels are not built: ${texts} can't be read (npm run build:kernels)`, { cause });
    }
  },
  recall: (name) => readFile(join(cache, name), "utf8").catch(() => undefined),
  async keep(name, text) {
    try {
      await mkdir(cache, { recursive: true });
      const draft = join(cache, `${name}.${process.pid}`);
      await writeFile(draft, text);
      await rename(draft, join(cache, name));
    } catch {
      // A read-only home only costs measuring again.
    }
  },
};
