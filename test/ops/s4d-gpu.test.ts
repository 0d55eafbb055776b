// The ops of S4D on the GPU: sizes that make its kernels cut their work, which the cases of s4d.test.ts are too small for.
import { describe, test } from "vitest";
import { makeGraph } from "../../src/graph/graph.ts";
import { input, state } from "../../src/graph/leaves.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { diagonalScan } from "../../src/ops/diagonal-scan/op.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { longConvolution } from "../../src/ops/long-convolution/op.ts";
import { type S4dParameters, s4dKernel } from "../../src/ops/s4d-kernel/op.ts";
import type { Discretization } from "../../src/ops/s4d-kernel/parameters.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";
import { checkOp, compare, generator, gpuRuntimes, testRuntime } from "./harness.ts";

function tensor(inputs: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const found = inputs[name];
  if (found === undefined) throw new Error(`no input ${name}`);
  return found;
}

const methods: readonly Discretization[] = ["zoh", "euler"];

const parametersOf = (inputs: Readonly<Record<string, Tensor>>): S4dParameters => ({
  logDt: tensor(inputs, "logDt"),
  aLogReal: tensor(inputs, "aLogReal"),
  aImag: tensor(inputs, "aImag"),
  c: tensor(inputs, "c"),
});

/** Parameters as S4D-Lin draws them: −1/2 + iπn, Δ log-uniform in [0.001, 0.1]. */
function parameters(channels: number, modes: number) {
  const draw = generator(3);
  const count = channels * modes;
  const values = (size: number, value: (i: number) => number) => Array.from({ length: size }, (_, i) => value(i));
  return {
    logDt: { shape: [channels], values: values(channels, () => Math.log(0.001) + draw() * Math.log(100)) },
    aLogReal: { shape: [channels, modes], values: values(count, () => Math.log(0.5) + 0.2 * draw()) },
    aImag: { shape: [channels, modes], values: values(count, (i) => Math.PI * (i % modes) + 0.1 * draw()) },
    c: { shape: [channels, modes, 2], values: values(2 * count, () => 2 * draw() - 1) },
  };
}

describe.each(methods)("with %s discretisation", (discretization) => {
  // More modes than workgroup memory holds at a time, more tokens than a workgroup takes.
  test.each([
    { channels: 2, modes: 40, length: 1100 },
    { channels: 70, modes: 1, length: 3 },
  ])("s4d_kernel of $channels channels, $modes modes, $length tokens", async ({ channels, modes, length }) => {
    await checkOp({
      inputs: parameters(channels, modes),
      bindings: { T: length },
      build: (inputs) => ({ K: s4dKernel(parametersOf(inputs), { discretization }) }),
      finiteDifferences: false,
      runtimes: ["webgpu/default"],
    });
  });

  // Runs of tokens side by side, of unequal length; a step with many modes; more modes than a workgroup has threads for.
  test.each([
    { batch: 2, tokens: 331, channels: 3, modes: 5 },
    { batch: 3, tokens: 1, channels: 5, modes: 33 },
    { batch: 1, tokens: 20, channels: 1, modes: 600 },
  ])("diagonal_scan of [$batch, $tokens, $channels] with $modes modes", async ({ batch, tokens, channels, modes }) => {
    for (const withState of [false, true]) {
      await checkOp({
        inputs: {
          ...parameters(channels, modes),
          u: { shape: ["B", "T", channels] },
          ...(withState ? { h0: { shape: ["B", channels, modes, 2] as const } } : {}),
        },
        bindings: { B: batch, T: tokens },
        build: (inputs) => {
          const options = { discretization, initialState: inputs.h0 };
          const { output, finalState } = diagonalScan(tensor(inputs, "u"), parametersOf(inputs), options);
          return { y: output, hT: finalState };
        },
        differentiated: [],
        runtimes: ["webgpu/default"],
      });
    }
  });
});

test.each(methods)("diagonal_scan updates its state where it lies, with %s", async (discretization) => {
  const [channels, modes, tokens] = [3, 5, 340];
  const given = parameters(channels, modes);
  const draw = generator(8);
  const values = (count: number): Float32Array => Float32Array.from({ length: count }, () => 2 * draw() - 1);
  const u = values(tokens * channels);
  const h0 = values(2 * channels * modes);
  const runtime = await testRuntime("webgpu/default");
  const run = async (sizes: readonly number[]) => {
    const shape = [1, channels, modes, 2];
    const buffers = new Map([["h", runtime.buffer({ shape, dtype: "f32" }, h0)]]);
    const y: number[] = [];
    for (const size of sizes) {
      const inputs = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, input(name, value.shape)]));
      const h = state("h", shape);
      const options = { discretization, initialState: h };
      const result = diagonalScan(input("u", [1, size, channels]), parametersOf(inputs), options);
      const graph = makeGraph({
        outputs: [{ name: "y", tensor: result.output }],
        states: [{ name: "h", input: h, output: result.finalState }],
      });
      const program = await runtime.compile(graph, { bindings: { B: 1, T: 1, C: 0 }, buffers, poison: true });
      const arrays = Object.fromEntries(
        Object.entries(given).map(([name, value]) => [name, Float32Array.from(value.values)]),
      );
      const part = await program.run({ ...arrays, u: u.slice(y.length, y.length + size * channels) });
      y.push(...Array.from(part.y ?? []));
      program.free();
    }
    return { y, final: Array.from((await buffers.get("h")?.read()) ?? []) };
  };
  // One walk, runs side by side, and steps.
  const [parts, whole] = [await run([1, 1, 38, 300]), await run([tokens])];
  compare("y", parts.y, whole.y, 1e-5);
  compare("final state", parts.final, whole.final, 1e-5);
});

const convolution = (inputs: Readonly<Record<string, Tensor>>): Record<string, Tensor> => ({
  y: longConvolution(tensor(inputs, "u"), tensor(inputs, "K")),
});

const sequences = (channels: number, only?: "u" | "K") => ({
  u: { shape: ["B", "T", channels] as const, gradient: only !== "K" },
  K: { shape: [channels, "T"] as const, gradient: only !== "u" },
});

describe("long_convolution", () => {
  test.each([
    { batch: 2, tokens: 1024, channels: 1 },
    { batch: 2, tokens: 1025, channels: 3 },
    { batch: 1, tokens: 3100, channels: 2 },
    // More rows than workgroups take one each: the gradient of K is a sum of parts of several rows.
    { batch: 300, tokens: 5, channels: 3 },
  ])("of [$batch, $tokens, $channels] agrees with its reference", async ({ batch, tokens, channels }) => {
    await checkOp({
      inputs: sequences(channels),
      bindings: { B: batch, T: tokens },
      build: convolution,
      tolerance: { outputs: 5e-6, gradients: 5e-6 },
      finiteDifferences: false,
      runtimes: gpuRuntimes,
    });
  });

  test.each([70, 1100])("computes the gradient of only one of its inputs, at %i tokens", async (tokens) => {
    for (const only of ["u", "K"] as const) {
      await checkOp({
        inputs: sequences(3, only),
        bindings: { B: 2, T: tokens },
        build: convolution,
        finiteDifferences: false,
        runtimes: ["webgpu/default"],
      });
    }
  });

  test.each([
    { batch: 5, tokens: 33, channels: 64 },
    { batch: 2, tokens: 1537, channels: 9 },
  ])("of [$batch, $tokens, $channels] is the same in bindings that hold only part of it", async (size) => {
    const { batch, tokens, channels } = size;
    const [u, K] = [input("u", [batch, tokens, channels]), input("K", [channels, tokens])];
    const dy = input("dy", [batch, tokens, channels]);
    const y = longConvolution(u, K);
    const all = [y, ...differentiate([{ tensor: y, gradient: dy }], [u, K])].filter((t) => t !== undefined);
    const graph = makeGraph({ outputs: all.map((t, i) => ({ name: String(i), tensor: t })) });
    const draw = generator(4);
    const values = (count: number): Float32Array => Float32Array.from({ length: count }, () => 2 * draw() - 1);
    const [rows, taps] = [batch * tokens * channels, channels * tokens];
    const arrays = { u: values(rows), K: values(taps), dy: values(rows) };
    const options = { bindings: { B: 1, T: 1, C: 0 }, buffers: new Map(), poison: true };
    const whole = await (await testRuntime("webgpu/default")).compile(graph, options);
    const expected = await whole.run(arrays);
    whole.free();
    const small = await createWebGpuRuntime({
      ...{ adapter: "software", limits: "default", subgroups: false, f16: false },
      maxBinding: 1.5 * Math.max(4 * tokens * channels, 8 * 2048 * batch),
    });
    const cut = await small.compile(graph, options);
    const actual = await cut.run(arrays);
    await small.close();
    for (const name of ["0", "1", "2"]) compare(`tensor ${name}`, actual[name] ?? [], expected[name] ?? [], 1e-6);
  });
});
