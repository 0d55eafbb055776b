// The WebAssembly runtime itself: memory, builds, threads, and what happens when something fails.
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { exp, tanh } from "../../src/graph/expression.ts";
import { makeGraph } from "../../src/graph/graph.ts";
import { input, parameter, state } from "../../src/graph/leaves.ts";
import type { Graph, OpDefinition } from "../../src/graph/types.ts";
import { applyOne } from "../../src/graph/types.ts";
import { add, mul, pointwise } from "../../src/ops/map/op.ts";
import { linear } from "../../src/ops/matmul/op.ts";
import { reduce } from "../../src/ops/reduce/op.ts";
import { RuntimeError } from "../../src/runtime/types.ts";
import { createEngine } from "../../src/runtime/wasm/engine.ts";
import { currentHost } from "../../src/runtime/wasm/host.ts";
import { createHeap } from "../../src/runtime/wasm/memory.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";

const bindings = { B: 1, T: 1, C: 0 };

describe("the heap", () => {
  it("hands out aligned blocks that never overlap and takes everything back", () => {
    const step = fc.record({ bytes: fc.integer({ min: 1, max: 300_000 }), release: fc.boolean(), which: fc.nat() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const heap = createHeap(true);
        const live: { address: number; bytes: number }[] = [];
        for (const { bytes, release, which } of steps) {
          if (release && live.length > 0) {
            const [block] = live.splice(which % live.length, 1);
            if (block !== undefined) heap.free(block.address);
            continue;
          }
          const address = heap.allocate(bytes);
          expect(address % 64).toBe(0);
          expect(address + bytes).toBeLessThanOrEqual(heap.memory.buffer.byteLength);
          for (const other of live) {
            expect(address + bytes <= other.address || other.address + other.bytes <= address).toBe(true);
          }
          live.push({ address, bytes });
        }
        for (const { address } of live) heap.free(address);
        expect(heap.usedBytes).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it("says how much was wanted when 4 GiB are not enough, and refuses to free twice", () => {
    const heap = createHeap(true);
    expect(() => heap.allocate(2 ** 32)).toThrow(/out of WebAssembly memory: 4096\.0 MiB more wanted/);
    const address = heap.allocate(10);
    heap.free(address);
    expect(() => heap.free(address)).toThrow(RuntimeError);
  });
});

describe("programs", () => {
  const x = input("x", [64, 48]);
  const graph: Graph = makeGraph({
    outputs: [
      { name: "y", tensor: linear(pointwise(x, tanh), parameter("w", [33, 48], { kind: "zeros" })) },
      { name: "sum", tensor: reduce(mul(x, x), "sum") },
    ],
  });
  const values = Float32Array.from({ length: 64 * 48 }, (_, i) => Math.sin(i));
  const weights = Float32Array.from({ length: 33 * 48 }, (_, i) => Math.cos(i));

  async function run(options: Parameters<typeof createWasmRuntime>[0], packed = false) {
    const runtime = await createWasmRuntime(options);
    const buffers = new Map([["w", runtime.buffer({ shape: [33, 48], dtype: "f32" }, weights, { packed })]]);
    const program = await runtime.compile(graph, { bindings, buffers });
    const result = await program.run({ x: values });
    const stored = await buffers.get("w")?.read();
    program.free();
    await runtime.close();
    return { result, stored, description: runtime.description };
  }

  it("gives the same bits on every run with the same threads, packed or not, and reads packed weights back unchanged", async () => {
    const first = await run({ threads: 2 });
    const again = await run({ threads: 2 }, true);
    expect(again.result).toEqual(first.result);
    expect(again.stored).toEqual(weights);
  });

  it("survives thousands of steps in lockstep, with pauses in which the threads fall asleep", async () => {
    const runtime = await createWasmRuntime({ threads: 2 });
    const program = await runtime.compile(
      makeGraph({ outputs: [{ name: "s", tensor: reduce(pointwise(x, exp), "sum") }] }),
      {
        bindings,
        buffers: new Map(),
      },
    );
    const first = (await program.run({ x: values })).s?.[0];
    for (let i = 0; i < 3000; i++) {
      expect((await program.run({ x: values })).s?.[0]).toBe(first);
      if (i % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
    }
    await runtime.close();
  });

  it("keeps states between runs and returns only what is asked for", async () => {
    const runtime = await createWasmRuntime({ threads: 1 });
    const s = state("count", [3], { reset: 0 });
    const step = input("step", [3]);
    const counter = makeGraph({
      outputs: [{ name: "old", tensor: mul(s, s) }],
      states: [{ name: "count", input: s, output: add(s, step) }],
    });
    const buffer = runtime.buffer({ shape: [3], dtype: "f32" });
    const program = await runtime.compile(counter, { bindings, buffers: new Map([["count", buffer]]) });
    for (let i = 0; i < 3; i++) await program.run({ step: Float32Array.of(1, 2, 3) }, []);
    expect(await buffer.read()).toEqual(Float32Array.of(3, 6, 9));
    expect(await program.run({ step: new Float32Array(3) })).toEqual({ old: Float32Array.of(9, 36, 81) });
    await runtime.close();
  });

  it("names the input that is missing or does not fit", async () => {
    const runtime = await createWasmRuntime({ threads: 1 });
    const program = await runtime.compile(makeGraph({ outputs: [{ name: "y", tensor: pointwise(x, exp) }] }), {
      bindings,
      buffers: new Map(),
    });
    await expect(program.run({})).rejects.toThrow('input "x" is missing');
    await expect(program.run({ x: new Float32Array(3) })).rejects.toThrow("has 3 elements, must have 3072");
    await expect(program.run({ x: new Int32Array(3072) })).rejects.toThrow("is i32, must be f32");
    await expect(runtime.compile(graph, { bindings, buffers: new Map() })).rejects.toThrow(
      'no buffer of this runtime is given for "w"',
    );
    program.free();
    await expect(program.run({ x: values })).rejects.toThrow("freed");
    await runtime.close();
  });

  it("names the op that has no kernel", async () => {
    const odd: OpDefinition<object> = { name: "odd", infer: ([t]) => (t === undefined ? [] : [t]), flops: () => 0 };
    const runtime = await createWasmRuntime({ threads: 1 });
    const node = applyOne(odd, [x], {});
    expect(runtime.supports(node.node)).toBe("odd has no WebAssembly kernel");
    const broken = makeGraph({ outputs: [{ name: "y", tensor: node }] });
    await expect(runtime.compile(broken, { bindings, buffers: new Map() })).rejects.toThrow(
      "odd can't run on the wasm runtime",
    );
    await runtime.close();
  });

  it("ends with an error, not a wait, when a kernel traps in any thread", async () => {
    for (const threads of [1, 2]) {
      const engine = await createEngine(await currentHost(), { threads });
      const program = engine.heap.allocate(64);
      // copy to an address far beyond the memory.
      engine.heap.integers(program, 7).set([1, engine.kernelIndex("copy"), 0, 3, 0, -65536, 1 << 20]);
      expect(() => engine.run(program)).toThrow(/a kernel failed/);
      expect(() => engine.run(program)).toThrow("the runtime was closed, or a kernel failed");
      await engine.close();
    }
  });
});

describe("without SharedArrayBuffer", () => {
  const original = globalThis.SharedArrayBuffer;
  afterEach(() => {
    globalThis.SharedArrayBuffer = original;
  });

  it("runs on one thread with ordinary memory", async () => {
    // @ts-expect-error what a page that is not cross-origin isolated looks like
    globalThis.SharedArrayBuffer = undefined;
    const runtime = await createWasmRuntime({ threads: 2 });
    expect(runtime.description).toContain("1 thread,");
    const x = input("x", [100]);
    const program = await runtime.compile(makeGraph({ outputs: [{ name: "s", tensor: reduce(x, "sum") }] }), {
      bindings,
      buffers: new Map(),
    });
    expect((await program.run({ x: new Float32Array(100).fill(1) })).s?.[0]).toBe(100);
    await runtime.close();
  });
});
