// The gated recurrent unit.
import { describe, expect, test } from "vitest";
import { makeGraph } from "../../src/graph/graph.ts";
import { input, state } from "../../src/graph/leaves.ts";
import { GraphError } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { gru } from "../../src/ops/gru/op.ts";
import { lower } from "../../src/ops/gru/wasm.ts";
import { checkOp, compare, generator, type OpInput, testRuntime } from "./harness.ts";

function tensor(inputs: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const found = inputs[name];
  if (found === undefined) throw new Error(`no input ${name}`);
  return found;
}

const build = (inputs: Readonly<Record<string, Tensor>>): Record<string, Tensor> => {
  const { output, finalState } = gru(tensor(inputs, "x"), tensor(inputs, "w"), {
    bias: inputs.b,
    initialState: inputs.h0,
  });
  return { y: output, hT: finalState };
};

const sequences = (hidden: number, options: { bias?: boolean; state?: boolean } = {}): Record<string, OpInput> => ({
  x: { shape: ["B", "T", 3 * hidden], low: -2, high: 2 },
  w: { shape: [3 * hidden, hidden] },
  ...(options.bias === true ? { b: { shape: [3 * hidden] } } : {}),
  ...(options.state === true ? { h0: { shape: ["B", hidden] as const } } : {}),
});

describe("gru", () => {
  test.each([
    { batch: 1, tokens: 1, hidden: 1, bias: true, state: true },
    { batch: 1, tokens: 1, hidden: 3, bias: false, state: false },
    { batch: 1, tokens: 5, hidden: 3, bias: true, state: true },
    { batch: 2, tokens: 4, hidden: 2, bias: true, state: false },
    { batch: 3, tokens: 7, hidden: 5, bias: false, state: true },
    { batch: 1, tokens: 9, hidden: 13, bias: true, state: false },
    { batch: 5, tokens: 3, hidden: 18, bias: true, state: true },
    { batch: 4, tokens: 33, hidden: 8, bias: true, state: true },
    { batch: 1, tokens: 3, hidden: 213, bias: true, state: true },
    { batch: 2, tokens: 2, hidden: 300, bias: true, state: true },
  ])("of [$batch, $tokens, $hidden], bias $bias, state $state, agrees with its reference", async (size) => {
    await checkOp({
      inputs: sequences(size.hidden, size),
      bindings: { B: size.batch, T: size.tokens },
      build,
      finiteDifferences: size.hidden < 6,
    });
  });

  // What makes the GPU's kernels share out their work differently: several units a thread, rows that share weights, a dispatch per token.
  test.each([
    { batch: 1, tokens: 6, hidden: 260 },
    { batch: 2, tokens: 6, hidden: 301 },
    { batch: 67, tokens: 5, hidden: 9 },
    { batch: 35, tokens: 5, hidden: 130 },
    { batch: 6, tokens: 3, hidden: 33 },
  ])("of [$batch, $tokens, $hidden] agrees with its reference on the GPU", async ({ batch, tokens, hidden }) => {
    // Weights as they are drawn for training: larger ones make a chaotic system of many units, which amplifies every rounding.
    const bound = 1 / Math.sqrt(hidden);
    const inputs = sequences(hidden, { bias: true, state: true });
    await checkOp({
      inputs: { ...inputs, w: { shape: [3 * hidden, hidden], low: -bound, high: bound } },
      bindings: { B: batch, T: tokens },
      build,
      finiteDifferences: false,
      runtimes: ["webgpu/default"],
    });
  });

  test("takes a gradient from the final state alone, or from the outputs alone", async () => {
    for (const differentiated of [["hT"], ["y"]]) {
      await checkOp({
        inputs: sequences(5, { bias: true, state: true }),
        bindings: { B: 3, T: 4 },
        build,
        differentiated,
        runtimes: ["simd/2", "relaxed/1", "webgpu/default"],
      });
    }
  });

  test("computes only the gradient of the state where nothing else is trained", async () => {
    await checkOp({
      inputs: {
        x: { shape: ["B", "T", 9], gradient: false },
        w: { shape: [9, 3], gradient: false },
        h0: { shape: ["B", 3] },
      },
      bindings: { B: 1, T: 4 },
      build,
      runtimes: ["simd/1", "simd/2", "webgpu/default"],
    });
  });

  test("agrees with onnxruntime's GRU, whose reset gate acts after the recurrent product too", async () => {
    const { onnxSession } = await import("../../bench/peers.ts");
    const { Tensor: OrtTensor } = await import("onnxruntime-node");
    const [batch, tokens, hidden] = [2, 6, 5];
    const draw = generator(9);
    const values = (count: number): number[] => Array.from({ length: count }, () => Math.fround(4 * draw() - 2));
    const [x, w] = [values(batch * tokens * 3 * hidden), values(3 * hidden * hidden)];
    const [b, h0] = [values(3 * hidden), values(batch * hidden)];
    // ONNX orders gates (z, r, n) and puts time first; the input projection is the identity.
    const gate = (i: number): number => [1, 0, 2][Math.floor(i / hidden)] ?? 0;
    const swapped = (i: number): number => gate(i) * hidden + (i % hidden);
    const width = 3 * hidden;
    const session = await onnxSession({
      nodes: [
        {
          op: "GRU",
          inputs: ["x", "w", "r", "b", "", "h0"],
          outputs: ["y"],
          attributes: { hidden_size: hidden, linear_before_reset: 1 },
        },
      ],
      inputs: { x: [tokens, batch, width], h0: [1, batch, hidden] },
      outputs: { y: [tokens, 1, batch, hidden] },
      weights: {
        w: {
          shape: [1, width, width],
          data: Float32Array.from({ length: width * width }, (_, i) => (i % (width + 1) === 0 ? 1 : 0)),
        },
        r: {
          shape: [1, width, hidden],
          data: Float32Array.from(w, (_, i) => w[swapped(Math.floor(i / hidden)) * hidden + (i % hidden)] ?? 0),
        },
        b: {
          shape: [1, 2 * width],
          data: Float32Array.from({ length: 2 * width }, (_, i) => (i < width ? 0 : (b[swapped(i - width)] ?? 0))),
        },
      },
    });
    const timeFirst = Float32Array.from(x, (_, i) => {
      const [t, row, column] = [Math.floor(i / (batch * width)), Math.floor(i / width) % batch, i % width];
      return x[(row * tokens + t) * width + swapped(column)] ?? 0;
    });
    const result = await session.run({
      x: new OrtTensor(timeFirst, [tokens, batch, width]),
      h0: new OrtTensor(Float32Array.from(h0), [1, batch, hidden]),
    });
    const theirs = result.y?.data as Float32Array;
    const y = Array.from({ length: batch * tokens * hidden }, (_, i) => {
      const [row, t, unit] = [Math.floor(i / (tokens * hidden)), Math.floor(i / hidden) % tokens, i % hidden];
      return theirs[(t * batch + row) * hidden + unit] ?? 0;
    });
    await checkOp({
      inputs: {
        x: { shape: ["B", "T", width], values: x },
        w: { shape: [width, hidden], values: w },
        b: { shape: [width], values: b },
        h0: { shape: ["B", hidden], values: h0 },
      },
      bindings: { B: batch, T: tokens },
      build,
      expected: { y },
    });
  });

  test.each(["simd/1", "relaxed/2", "webgpu/default"] as const)("in chunks equals the whole, on %s", async (name) => {
    const [batch, hidden, tokens] = [3, 6, 20];
    const inputs = {
      x: input("x", ["B", "T", 3 * hidden]),
      w: input("w", [3 * hidden, hidden]),
      b: input("b", [3 * hidden]),
      h0: input("h0", ["B", hidden]),
    };
    const graph = makeGraph({ outputs: Object.entries(build(inputs)).map(([key, t]) => ({ name: key, tensor: t })) });
    const draw = generator(5);
    const values = (count: number): Float32Array => Float32Array.from({ length: count }, () => 2 * draw() - 1);
    const x = values(batch * tokens * 3 * hidden);
    const [w, b] = [values(3 * hidden * hidden), values(3 * hidden)];
    const runtime = await testRuntime(name);
    const run = async (start: number, end: number, h0: Float32Array) => {
      const bindings = { B: batch, T: end - start, C: 0 };
      const program = await runtime.compile(graph, { bindings, buffers: new Map(), poison: true });
      const width = 3 * hidden;
      const part = new Float32Array(batch * (end - start) * width);
      for (let row = 0; row < batch; row++) {
        const from = x.subarray((row * tokens + start) * width, (row * tokens + end) * width);
        part.set(from, row * (end - start) * width);
      }
      const result = await program.run({ x: part, w, b, h0 });
      program.free();
      return { y: Array.from(result.y ?? []), hT: Float32Array.from(result.hT ?? []) };
    };
    const h0 = values(batch * hidden);
    const whole = await run(0, tokens, h0);
    let state = h0;
    let start = 0;
    for (const size of [1, 1, 7, 11]) {
      const part = await run(start, start + size, state);
      for (let row = 0; row < batch; row++) {
        const at = (row * tokens + start) * hidden;
        const own = part.y.slice(row * size * hidden, (row + 1) * size * hidden);
        compare(`row ${row} from token ${start}`, own, whole.y.slice(at, at + own.length), 1e-6);
      }
      state = part.hT;
      start += size;
    }
    compare("final state", state, whole.hT, 1e-6);
  });

  test.each([5, 150])(
    "with %i units updates its state where it lies, as a run over all tokens does",
    async (hidden) => {
      const [batch, tokens] = [3, 9];
      const draw = generator(6);
      const values = (count: number): Float32Array => Float32Array.from({ length: count }, () => 2 * draw() - 1);
      const x = values(batch * tokens * 3 * hidden);
      const w = values(3 * hidden * hidden).map((value) => value / Math.sqrt(hidden));
      const h0 = values(batch * hidden);
      const runtime = await testRuntime("webgpu/default");
      const run = async (sizes: readonly number[]) => {
        const buffers = new Map([["h", runtime.buffer({ shape: [batch, hidden], dtype: "f32" }, h0)]]);
        const y: number[][] = Array.from({ length: batch }, () => []);
        let start = 0;
        for (const size of sizes) {
          const width = 3 * hidden;
          const h = state("h", [batch, hidden]);
          const result = gru(input("x", [batch, size, width]), input("w", [width, hidden]), { initialState: h });
          const graph = makeGraph({
            outputs: [{ name: "y", tensor: result.output }],
            states: [{ name: "h", input: h, output: result.finalState }],
          });
          const program = await runtime.compile(graph, { bindings: { B: 1, T: 1, C: 0 }, buffers, poison: true });
          const rows = Array.from({ length: batch }, (_, row) =>
            Array.from(x.subarray((row * tokens + start) * width, (row * tokens + start + size) * width)),
          );
          const part = await program.run({ x: Float32Array.from(rows.flat()), w });
          for (const [row, own] of y.entries()) {
            own.push(...Array.from(part.y ?? []).slice(row * size * hidden, (row + 1) * size * hidden));
          }
          program.free();
          start += size;
        }
        const final = await buffers.get("h")?.read();
        return { y: y.flat(), final: Array.from(final ?? []) };
      };
      const whole = await run([tokens]);
      const parts = await run([1, 1, 5, 2]);
      compare("y", parts.y, whole.y, 1e-5);
      compare("final state", parts.final, whole.final, 1e-5);
    },
  );

  test("splits hidden units over threads, a step at a time, where a step is large and rows are few or weights too large", () => {
    const kernels = (batch: number, threads: number, hidden: number): number => {
      let commands = 0;
      const type = (shape: readonly number[]) => ({ kind: "tensor", shape, dtype: "f32", layout: "plain" }) as const;
      lower(
        {
          attributes: {},
          inputs: [type([batch, 5, 3 * hidden]), type([3 * hidden, hidden]), undefined, undefined],
          outputs: [type([batch, 5, hidden]), undefined, undefined],
        },
        { threads, command: () => void commands++, scratch: (bytes) => ({ kind: "scratch", bytes }) },
      );
      return commands;
    };
    expect(kernels(1, 2, 256)).toBe(5);
    expect(kernels(2, 2, 512)).toBe(5);
    expect(kernels(1, 2, 64)).toBe(1);
    expect(kernels(2, 2, 256)).toBe(1);
    expect(kernels(1, 1, 512)).toBe(1);
  });

  test("names what does not fit", () => {
    const x = input("x", ["B", "T", 12]);
    expect(() => gru(x, input("w", [12, 5]))).toThrow(new GraphError("gru: w_hh f32 [12, 5] is not f32 [15, 5]"));
    expect(() => gru(input("x", ["B", "T", 9]), input("w", [12, 4]))).toThrow(
      new GraphError("gru: x_gates f32 [B, T, 9] is not f32 [B, T, 12]"),
    );
    expect(() => gru(x, input("w", [12, 4]), { bias: input("b", [4]) })).toThrow(
      new GraphError("gru: b_hh f32 [4] is not f32 [12]"),
    );
    expect(() => gru(x, input("w", [12, 4]), { initialState: input("h", ["B", 12]) })).toThrow(
      new GraphError("gru: h0 f32 [B, 12] is not f32 [B, 4]"),
    );
  });
});
