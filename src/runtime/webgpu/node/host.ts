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

/** Most milliseconds of a nap, and naps' share of the time that the work has taken so far. */
const LONGEST_NAP = 0.5;
const NAP_SHARE = 0.125;

const never = new Int32Array(new SharedArrayBuffer(4));
/** When each piece of work that is being waited for began. */
const pending = new Set<{ readonly begin: number }>();
let napping = false;

function nap(): void {
  napping = pending.size > 0;
  if (!napping) return;
  let latest = 0;
  for (const { begin } of pending) latest = Math.max(latest, begin);
  Atomics.wait(never, 0, 0, Math.min(LONGEST_NAP, NAP_SHARE * (performance.now() - latest)));
  setImmediate(nap);
}

/**
 * Dawn asks in every turn of the event loop whether work is done, without pause: a processor that software GPUs compute with, and
 * that others need too. Turns are made longer by naps, short against the time that the work has taken.
 */
function pace<T>(work: Promise<T>): Promise<T> {
  const own = { begin: performance.now() };
  pending.add(own);
  if (!napping) setImmediate(nap);
  napping = true;
  return work.finally(() => pending.delete(own));
}

export const nodeHost: GpuHost = {
  pace,
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
