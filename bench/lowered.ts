// An op's wasm lowering as a contender: its launches on the threads of a KernelBench.
import { type BoundType, sizeOf } from "../src/graph/shape.ts";
import type { OpDefinition } from "../src/graph/types.ts";
import type { Scratch, WasmLowering, WasmTensor, Word } from "../src/runtime/wasm/lowering.ts";
import type { KernelBench } from "./kernels.ts";

/** A tensor in the bench's memory. */
export interface BenchTensor extends WasmTensor {
  readonly address: number;
  readonly data: Float32Array;
}

export function benchTensor(bench: KernelBench, shape: readonly number[], fill = true): BenchTensor {
  const { address, data } = bench.allocate(sizeOf(shape));
  if (fill) for (let i = 0; i < data.length; i++) data[i] = Math.random() * 4 - 2;
  return { kind: "tensor", shape, dtype: "f32", layout: "plain", address, data };
}

/** A function that runs the op once on `threads` threads. Nothing reads the outputs numbered `unused`. */
export function lowered<A>(
  bench: KernelBench,
  op: OpDefinition<A>,
  lower: WasmLowering<A>,
  inputs: readonly (BenchTensor | undefined)[],
  attributes: A,
  threads: number,
  unused: readonly number[] = [],
): { readonly outputs: readonly BenchTensor[]; run(): void } {
  const outputs = (op.infer(inputs, attributes) as readonly BoundType[]).map(({ shape }) =>
    benchTensor(bench, shape, false),
  );
  const places = new Map<Scratch, number>();
  const launches: { readonly kernel: string; readonly words: readonly Word[] }[] = [];
  lower(
    { inputs, outputs: outputs.map((output, i) => (unused.includes(i) ? undefined : output)), attributes },
    {
      threads,
      command: (kernel, words) => launches.push({ kernel, words }),
      scratch: (bytes) => {
        const scratch: Scratch = { kind: "scratch", bytes };
        places.set(scratch, bench.allocate(Math.ceil(bytes / 4)).address);
        return scratch;
      },
    },
  );
  const bits = new DataView(new ArrayBuffer(4));
  const encode = (word: Word): number => {
    if (word === undefined) return 0;
    if (typeof word === "number") return word;
    if (word.kind === "scratch") return places.get(word) ?? 0;
    if (word.kind === "tensor") return (word as BenchTensor).address;
    bits.setFloat32(0, word.value);
    return bits.getInt32(0);
  };
  const encoded = launches.map(({ kernel, words }) => ({ kernel, words: words.map(encode) }));
  return {
    outputs,
    run: () => {
      for (const { kernel, words } of encoded) bench.run(kernel, words, threads);
    },
  };
}
