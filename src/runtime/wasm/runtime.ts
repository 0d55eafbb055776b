// The CPU default: AssemblyScript kernels with SIMD and threads.
import { type Runtime, requireFullPrecision } from "../types.ts";
import { WasmBuffer } from "./buffer.ts";
import { createEngine, type WasmOptions } from "./engine.ts";
import { currentHost } from "./host.ts";
import { compileProgram } from "./program.ts";
import { lowerings } from "./table.ts";

/** Starts the threads and loads the kernels. @throws RuntimeError when the kernels are missing or the options are wrong. */
export async function createWasmRuntime(options: WasmOptions = {}): Promise<Runtime> {
  const engine = await createEngine(await currentHost(), options);
  const simd = engine.build === "relaxed" ? "relaxed SIMD with fused multiply-add" : "SIMD";
  return {
    name: "wasm",
    description: `WebAssembly, ${engine.threads} thread${engine.threads === 1 ? "" : "s"}, ${simd}`,
    supports: (node) =>
      node.op.leaf !== undefined ||
      node.op.view ||
      node.op.name in lowerings ||
      `${node.op.name} has no WebAssembly kernel`,
    buffer(type, data, options = {}) {
      requireFullPrecision("wasm", options);
      const { packed = false } = options;
      const buffer = new WasmBuffer(engine, type, packed);
      if (data !== undefined) buffer.write(data);
      return buffer;
    },
    compile: async (graph, compileOptions) => compileProgram(graph, compileOptions, engine),
    close: () => engine.close(),
  };
}
