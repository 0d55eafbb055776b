// Runs single kernels of the built WebAssembly binaries on arrays, without planner or threads' workers.
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";

// Node 20 has relaxed SIMD behind this flag; later versions have it on and ignore it.
setFlagsFromString("--experimental-wasm-relaxed-simd");

export type Build = "simd" | "relaxed";
export const builds: readonly Build[] = ["simd", "relaxed"];

type Kernel = (args: number, thread: number, threads: number) => void;

/** A float array (copied in and, with `out`, back), an absent tensor (undefined), an integer or a float argument. */
export type Argument = Float32Array | Int32Array | number | { readonly float: number } | undefined;

export interface KernelBuild {
  /** Calls `kernel` once for every thread, in order; arrays hold afterwards what the kernel left in them. */
  run(kernel: string, words: readonly Argument[], threads?: number): void;
}

const modules = new Map<Build, WebAssembly.Module>();

function moduleOf(build: Build): WebAssembly.Module {
  const known = modules.get(build);
  if (known !== undefined) return known;
  const compiled = new WebAssembly.Module(readFileSync(new URL(`../../dist/kernels/${build}.wasm`, import.meta.url)));
  modules.set(build, compiled);
  return compiled;
}

/** Instantiates a build with `megabytes` of memory. */
export function instantiate(build: Build, megabytes = 64): KernelBuild {
  const memory = new WebAssembly.Memory({ initial: megabytes * 16, maximum: 65536, shared: true });
  const { exports } = new WebAssembly.Instance(moduleOf(build), { env: { memory } });
  const start = 1 << 16;
  return {
    run(name, words, threads = 1) {
      const kernel = exports[name];
      if (typeof kernel !== "function") throw new Error(`no kernel ${name}`);
      const args = new DataView(memory.buffer, start, words.length * 4);
      let free = start + 4096;
      const arrays: { readonly array: Float32Array | Int32Array; readonly view: Float32Array | Int32Array }[] = [];
      for (const [i, word] of words.entries()) {
        if (typeof word === "number") args.setInt32(4 * i, word, true);
        else if (word === undefined) args.setInt32(4 * i, 0, true);
        else if ("float" in word) args.setFloat32(4 * i, word.float, true);
        else {
          args.setUint32(4 * i, free, true);
          const view =
            word instanceof Float32Array
              ? new Float32Array(memory.buffer, free, word.length)
              : new Int32Array(memory.buffer, free, word.length);
          view.set(word);
          arrays.push({ array: word, view });
          free += (word.byteLength + 127) & ~63;
        }
      }
      for (let thread = 0; thread < threads; thread++) (kernel as Kernel)(start, thread, threads);
      for (const { array, view } of arrays) array.set(view);
    },
  };
}
