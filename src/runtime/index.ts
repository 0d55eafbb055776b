// Choosing a runtime by name.
import { createReferenceRuntime } from "./reference/runtime.ts";
import { type Runtime, RuntimeError } from "./types.ts";
import { createWasmRuntime } from "./wasm/runtime.ts";

export const devices = ["auto", "wasm", "reference"] as const;
export type Device = (typeof devices)[number];

export interface RuntimeOptions {
  /** Threads of the wasm runtime; default one per core. */
  readonly threads?: number | undefined;
}

/** `auto` takes the fastest runtime that this machine has. */
export async function createRuntime(device: Device = "auto", { threads }: RuntimeOptions = {}): Promise<Runtime> {
  switch (device) {
    case "auto":
    case "wasm":
      return createWasmRuntime(threads === undefined ? {} : { threads });
    case "reference":
      return createReferenceRuntime();
    default:
      throw new RuntimeError(`"${String(device)}" is not a device; allowed: ${devices.join(", ")}`);
  }
}
