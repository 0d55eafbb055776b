// Runs the kernels that an op's wasm.ts facet emits, one after the other, on host arrays: no planner, no workers.
import { sizeOf } from "../../src/graph/shape.ts";
import type { Layout, Scratch, WasmLowering, WasmTensor, Word } from "../../src/runtime/wasm/lowering.ts";
import type { Argument, KernelBuild } from "./instance.ts";

/** Contents of a tensor in the layout in which it is handed over. */
export interface LoweredInput {
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly layout?: Layout;
}

/**
 * Outputs of `lower` for these inputs and output shapes. Outputs and scratch are poisoned with NaN first, and each output
 * is followed by a guard that must stay NaN; throws when a kernel wrote beyond its output.
 */
export function runLowered<A>(
  build: KernelBuild,
  lower: WasmLowering<A>,
  attributes: A,
  inputs: readonly (LoweredInput | undefined)[],
  outputShapes: readonly (readonly number[])[],
  threads: number,
): Float32Array[] {
  const arrays = new Map<WasmTensor | Scratch, Float32Array>();
  const poisoned = (length: number) => new Float32Array(length).fill(Number.NaN);
  const tensor = (shape: readonly number[], data: Float32Array, layout: Layout): WasmTensor => {
    const made: WasmTensor = { kind: "tensor", shape, dtype: "f32", layout };
    arrays.set(made, data);
    return made;
  };
  const outputs = outputShapes.map((shape) => tensor(shape, poisoned(sizeOf(shape) + 16), "plain"));
  const commands: { readonly kernel: string; readonly words: readonly Word[] }[] = [];
  lower(
    {
      attributes,
      inputs: inputs.map((x) => (x === undefined ? undefined : tensor(x.shape, x.data, x.layout ?? "plain"))),
      outputs,
    },
    {
      threads,
      command: (kernel, words) => commands.push({ kernel, words }),
      scratch: (bytes) => {
        const made: Scratch = { kind: "scratch", bytes };
        arrays.set(made, poisoned(Math.ceil(bytes / 4)));
        return made;
      },
    },
  );
  const argument = (word: Word): Argument => {
    if (word === undefined || typeof word === "number") return word;
    return word.kind === "float" ? { float: word.value } : arrays.get(word);
  };
  for (const { kernel, words } of commands) build.run(kernel, words.map(argument), threads);
  return outputs.map((output, i) => {
    const data = arrays.get(output) ?? poisoned(0);
    const size = sizeOf(output.shape);
    if (!data.subarray(size).every(Number.isNaN)) throw new Error(`a kernel wrote beyond output ${i}`);
    return data.slice(0, size);
  });
}
