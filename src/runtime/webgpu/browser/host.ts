// Browsers: WebGPU natively, kernels fetched beside the module, tuning results in IndexedDB.
import { RuntimeError } from "../../types.ts";
import type { GpuHost, KernelTexts } from "../host.ts";

const texts = new URL("../../../../dist/kernels/wgsl.json", import.meta.url);

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  const opening = indexedDB.open("hybraid", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("cache");
  return (await done(opening)).transaction("cache", mode).objectStore("cache");
}

export const browserHost: GpuHost = {
  async gpu() {
    if (globalThis.navigator?.gpu === undefined) {
      throw new RuntimeError("this browser has no WebGPU, or the page is not served from a secure origin");
    }
    return navigator.gpu;
  },
  async kernels() {
    const response = await fetch(texts);
    if (!response.ok) throw new RuntimeError(`the kernels can't be fetched: ${response.status} for ${texts}`);
    return (await response.json()) as KernelTexts;
  },
  async recall(name) {
    try {
      return (await done((await store("readonly")).get(name))) as string | undefined;
    } catch {
      return undefined;
    }
  },
  async keep(name, text) {
    try {
      await done((await store("readwrite")).put(text, name));
    } catch {
      // Private windows may refuse; that only costs measuring again.
    }
  },
};
