// What the WebGPU runtime needs from the place it runs in: the browser's or Dawn's GPU, the kernels' texts, and a place to
// remember what the tuner measured. node/host.ts and browser/host.ts implement it.

/** Kernel texts by their path under kernels/, `rms_norm/rms_norm.wgsl`. */
export type KernelTexts = Readonly<Record<string, string>>;

export interface GpuHost {
  /** @throws RuntimeError where there is no WebGPU at all, saying what to do. */
  gpu(): Promise<GPU>;
  kernels(): Promise<KernelTexts>;
  /** Gives way to the GPU's work, where waiting for it takes a processor. */
  pace?<T>(work: Promise<T>): Promise<T>;
  /** What was kept under this name; undefined if nothing. */
  recall(name: string): Promise<string | undefined>;
  /** Keeps text for later processes. Failing to is no error. */
  keep(name: string, text: string): Promise<void>;
}

/** The host of this environment. */
export async function currentGpuHost(): Promise<GpuHost> {
  const isNode = typeof process === "object" && typeof process.versions?.node === "string";
  return isNode ? (await import("./node/host.ts")).nodeHost : (await import("./browser/host.ts")).browserHost;
}
