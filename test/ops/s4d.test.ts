// The ops of S4D: s4d_kernel, long_convolution and diagonal_scan.
import { describe, expect, test } from "vitest";
import { makeGraph } from "../../src/graph/graph.ts";
import { input } from "../../src/graph/leaves.ts";
import { GraphError } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { diagonalScan } from "../../src/ops/diagonal-scan/op.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { longConvolution } from "../../src/ops/long-convolution/op.ts";
import { type S4dParameters, s4dKernel } from "../../src/ops/s4d-kernel/op.ts";
import type { Discretization } from "../../src/ops/s4d-kernel/parameters.ts";
import { allRuntimes, checkOp, compare, generator, type OpInput, testRuntime } from "./harness.ts";

const methods: readonly Discretization[] = ["zoh", "euler"];

/** Parameters as S4D-Lin draws them: −1/2 + iπn, Δ log-uniform in [0.001, 0.1], spread a little. */
function parameters(channels: number, modes: number, seed = 3): Record<"logDt" | "aLogReal" | "aImag" | "c", number[]> {
  const draw = generator(seed);
  const count = channels * modes;
  return {
    logDt: Array.from({ length: channels }, () => Math.log(0.001) + draw() * Math.log(100)),
    aLogReal: Array.from({ length: count }, () => Math.log(0.5) + 0.2 * draw()),
    aImag: Array.from({ length: count }, (_, i) => Math.PI * (i % modes) + 0.1 * draw()),
    c: Array.from({ length: 2 * count }, () => 2 * draw() - 1),
  };
}

function inputsOf(channels: number, modes: number): Record<string, OpInput> {
  const { logDt, aLogReal, aImag, c } = parameters(channels, modes);
  return {
    logDt: { shape: [channels], values: logDt },
    aLogReal: { shape: [channels, modes], values: aLogReal },
    aImag: { shape: [channels, modes], values: aImag },
    c: { shape: [channels, modes, 2], values: c },
  };
}

function tensor(inputs: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const found = inputs[name];
  if (found === undefined) throw new Error(`no input ${name}`);
  return found;
}

const parametersOf = (inputs: Readonly<Record<string, Tensor>>): S4dParameters => ({
  logDt: tensor(inputs, "logDt"),
  aLogReal: tensor(inputs, "aLogReal"),
  aImag: tensor(inputs, "aImag"),
  c: tensor(inputs, "c"),
});

const round = (values: readonly number[]): number[] => values.map(Math.fround);

/**
 * Σₛ≤ₜ K[t − s] u[s] for one channel, from the definition: matrix-free, in polar coordinates, every power on its own. Shares
 * no code with the library.
 */
function naive(
  p: ReturnType<typeof parameters>,
  channel: number,
  modes: number,
  u: readonly number[],
  method: Discretization,
): number[] {
  const delta = Math.exp(Math.fround(p.logDt[channel] ?? 0));
  const kernel = u.map((_, l) => {
    let sum = 0;
    for (let i = channel * modes; i < (channel + 1) * modes; i++) {
      const [rho, omega] = [Math.exp(Math.fround(p.aLogReal[i] ?? 0)), Math.fround(p.aImag[i] ?? 0)];
      const [cRe, cIm] = [Math.fround(p.c[2 * i] ?? 0), Math.fround(p.c[2 * i + 1] ?? 0)];
      const size = Math.hypot(rho, omega);
      // B̄ in polar form, (radius, angle), and Ā likewise.
      let [aRadius, aAngle, bRadius, bAngle] = [0, 0, 0, 0];
      if (method === "zoh") {
        [aRadius, aAngle] = [Math.exp(-delta * rho), delta * omega];
        const [x, y] = [aRadius * Math.cos(aAngle) - 1, aRadius * Math.sin(aAngle)];
        [bRadius, bAngle] = [Math.hypot(x, y) / size, Math.atan2(y, x) - Math.atan2(omega, -rho)];
      } else {
        const step = Math.min(delta, rho / size ** 2);
        [aRadius, aAngle] = [Math.hypot(1 - step * rho, step * omega), Math.atan2(step * omega, 1 - step * rho)];
        bRadius = step;
      }
      const [radius, angle] = [bRadius * aRadius ** l, bAngle + l * aAngle];
      sum += 2 * radius * (cRe * Math.cos(angle) - cIm * Math.sin(angle));
    }
    return sum;
  });
  return u.map((_, t) => {
    let sum = 0;
    for (let s = 0; s <= t; s++) sum += (kernel[t - s] ?? 0) * (u[s] ?? 0);
    return sum;
  });
}

describe.each(methods)("with %s discretisation", (discretization) => {
  test.each([
    { channels: 2, modes: 2, length: 5 },
    { channels: 1, modes: 1, length: 1 },
    { channels: 3, modes: 3, length: 17 },
    { channels: 5, modes: 9, length: 64 },
    { channels: 2, modes: 4, length: 65 },
    { channels: 3, modes: 5, length: 203 },
  ])("s4d_kernel of $channels channels, $modes modes, $length tokens", async ({ channels, modes, length }) => {
    await checkOp({
      inputs: inputsOf(channels, modes),
      bindings: { T: length },
      build: (inputs) => ({ K: s4dKernel(parametersOf(inputs), { discretization }) }),
      finiteDifferences: length <= 17,
    });
  });

  test.each([
    { batch: 1, tokens: 1, channels: 1, modes: 1 },
    { batch: 2, tokens: 7, channels: 3, modes: 2 },
    { batch: 3, tokens: 64, channels: 5, modes: 9 },
    { batch: 1, tokens: 150, channels: 9, modes: 17 },
  ])("diagonal_scan of [$batch, $tokens, $channels] with $modes modes", async ({ batch, tokens, channels, modes }) => {
    for (const withState of [false, true]) {
      await checkOp({
        inputs: {
          ...inputsOf(channels, modes),
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
      });
    }
  });

  test.each([40, 1000])(
    "the convolution form equals the recurrent form and the definition over %i tokens",
    async (tokens) => {
      const [channels, modes, batch] = [6, 32, 3];
      const p = parameters(channels, modes, 5);
      const draw = generator(11);
      const u = round(Array.from({ length: batch * tokens * channels }, () => 2 * draw() - 1));
      const inputs = {
        logDt: input("logDt", [channels]),
        aLogReal: input("aLogReal", [channels, modes]),
        aImag: input("aImag", [channels, modes]),
        c: input("c", [channels, modes, 2]),
        u: input("u", ["B", "T", channels]),
      };
      const convolved = longConvolution(inputs.u, s4dKernel(parametersOf(inputs), { discretization }));
      const recurrent = diagonalScan(inputs.u, parametersOf(inputs), { discretization }).output;
      const graph = makeGraph({
        outputs: [
          { name: "convolved", tensor: convolved },
          { name: "recurrent", tensor: recurrent },
        ],
      });
      const arrays = Object.fromEntries(Object.entries({ ...p, u }).map(([name, v]) => [name, Float32Array.from(v)]));
      for (const name of allRuntimes) {
        const runtime = await testRuntime(name);
        const program = await runtime.compile(graph, {
          bindings: { B: batch, T: tokens, C: 0 },
          buffers: new Map(),
          poison: true,
        });
        const { convolved: a = [], recurrent: b = [] } = await program.run(arrays);
        compare(`${name}: forms over ${tokens} tokens`, a, b, 1e-5);
        for (let channel = 0; channel < channels; channel++) {
          for (const row of name === "simd/1" ? [0, batch - 1] : [0]) {
            const at = (t: number): number => (row * tokens + t) * channels + channel;
            const own = Array.from({ length: tokens }, (_, t) => u[at(t)] ?? 0);
            const expected = naive(p, channel, modes, own, discretization);
            compare(
              `${name}: definition, channel ${channel}`,
              own.map((_, t) => a[at(t)] ?? 0),
              expected,
              1e-5,
            );
          }
        }
        program.free();
      }
    },
  );

  test.each(["simd/2", "webgpu/default"] as const)(
    "over 4096 tokens of slow modes the two forms stay within 1e-4, on %s",
    async (name) => {
      const [channels, modes, tokens] = [4, 4, 4096];
      const { c } = parameters(channels, modes);
      const draw = generator(13);
      const inputs = {
        logDt: input("logDt", [channels]),
        aLogReal: input("aLogReal", [channels, modes]),
        aImag: input("aImag", [channels, modes]),
        c: input("c", [channels, modes, 2]),
        u: input("u", ["B", "T", channels]),
      };
      const convolved = longConvolution(inputs.u, s4dKernel(parametersOf(inputs), { discretization }));
      const recurrent = diagonalScan(inputs.u, parametersOf(inputs), { discretization }).output;
      const outputs = [convolved, recurrent].map((output, i) => ({ name: String(i), tensor: output }));
      const runtime = await testRuntime(name);
      const program = await runtime.compile(makeGraph({ outputs }), {
        bindings: { B: 1, T: tokens, C: 0 },
        buffers: new Map(),
        poison: true,
      });
      // Time constants of 1 / (Δ |Re A|) = 50,000 tokens: nothing decays, every error in phase adds up.
      const results = await program.run({
        logDt: new Float32Array(channels).fill(Math.log(0.001)),
        aLogReal: new Float32Array(channels * modes).fill(Math.log(0.02)),
        aImag: Float32Array.from(
          { length: channels * modes },
          (_, i) => 0.5 + (discretization === "zoh" ? 97 : 4) * draw() * (i % 2),
        ),
        c: Float32Array.from(c),
        u: Float32Array.from({ length: tokens * channels }, () => 2 * draw() - 1),
      });
      compare("forms", results[0] ?? [], results[1] ?? [], 1e-4);
      program.free();
    },
  );
});

describe("long_convolution", () => {
  test.each([
    { batch: 1, tokens: 1, channels: 1 },
    { batch: 2, tokens: 3, channels: 5 },
    { batch: 3, tokens: 64, channels: 4 },
    { batch: 1, tokens: 65, channels: 7 },
    { batch: 3, tokens: 100, channels: 9 },
    { batch: 2, tokens: 256, channels: 4 },
    { batch: 5, tokens: 300, channels: 2 },
    // Enough channels for whole cache lines per thread.
    { batch: 3, tokens: 70, channels: 71 },
    { batch: 2, tokens: 129, channels: 64 },
  ])("agrees with its reference for [$batch, $tokens, $channels]", async ({ batch, tokens, channels }) => {
    await checkOp({
      inputs: { u: { shape: ["B", "T", channels] }, K: { shape: [channels, "T"] } },
      bindings: { B: batch, T: tokens },
      build: (inputs) => ({ y: longConvolution(tensor(inputs, "u"), tensor(inputs, "K")) }),
      tolerance: { outputs: 5e-6, gradients: 5e-6 },
    });
  });

  test.each([20, 90])("computes the gradient of only one of its inputs, at %i tokens", async (tokens) => {
    for (const only of ["u", "K"]) {
      await checkOp({
        inputs: {
          u: { shape: ["B", "T", 5], gradient: only === "u" },
          K: { shape: [5, "T"], gradient: only === "K" },
        },
        bindings: { B: 3, T: tokens },
        build: (inputs) => ({ y: longConvolution(tensor(inputs, "u"), tensor(inputs, "K")) }),
        runtimes: ["simd/2"],
      });
    }
  });

  test("is causal: a later input changes nothing before it", async () => {
    const [tokens, channels, changed] = [200, 4, 150];
    const draw = generator(2);
    const y = longConvolution(input("u", [1, tokens, channels]), input("K", [channels, tokens]));
    const runtime = await testRuntime("relaxed/1");
    const program = await runtime.compile(makeGraph({ outputs: [{ name: "y", tensor: y }] }), {
      bindings: { B: 1, T: tokens, C: 0 },
      buffers: new Map(),
    });
    const u = Float32Array.from({ length: tokens * channels }, () => 2 * draw() - 1);
    const K = Float32Array.from({ length: tokens * channels }, () => 2 * draw() - 1);
    const { y: before = [] } = await program.run({ u, K });
    u[changed * channels] = 5;
    const { y: after = [] } = await program.run({ u, K });
    const end = changed * channels;
    compare("outputs before the change", Array.from(after).slice(0, end), Array.from(before).slice(0, end), 2e-6);
    expect(Math.abs(Number(after[end]) - Number(before[end]))).toBeGreaterThan(0.01);
    program.free();
  });
});

test.each(methods)("diagonal_scan in chunks equals the whole, with %s", async (discretization) => {
  const [channels, modes] = [5, 6];
  const draw = generator(17);
  const p = parameters(channels, modes);
  const inputs = {
    logDt: input("logDt", [channels]),
    aLogReal: input("aLogReal", [channels, modes]),
    aImag: input("aImag", [channels, modes]),
    c: input("c", [channels, modes, 2]),
    u: input("u", ["B", "T", channels]),
    h0: input("h0", ["B", channels, modes, 2]),
  };
  const { output, finalState } = diagonalScan(inputs.u, parametersOf(inputs), {
    discretization,
    initialState: inputs.h0,
  });
  const graph = makeGraph({
    outputs: [
      { name: "y", tensor: output },
      { name: "hT", tensor: finalState },
    ],
  });
  const runtime = await testRuntime("simd/1");
  const run = async (u: readonly number[], h0: ArrayLike<number>) => {
    const bindings = { B: 1, T: u.length / channels, C: 0 };
    const program = await runtime.compile(graph, { bindings, buffers: new Map(), poison: true });
    const result = await program.run(
      Object.fromEntries(Object.entries({ ...p, u, h0 }).map(([name, v]) => [name, Float32Array.from(v)])),
    );
    program.free();
    return { y: Array.from(result.y ?? []), hT: Array.from(result.hT ?? []) };
  };
  const tokens = 171;
  const u = Array.from({ length: tokens * channels }, () => 2 * draw() - 1);
  const h0 = Array.from({ length: channels * modes * 2 }, () => 2 * draw() - 1);
  const whole = await run(u, h0);
  const y: number[] = [];
  let state = h0;
  let start = 0;
  for (const size of [1, 1, 63, 64, 2, 40]) {
    const part = await run(u.slice(start * channels, (start + size) * channels), state);
    y.push(...part.y);
    state = part.hT;
    start += size;
  }
  expect(y).toEqual(whole.y);
  expect(state).toEqual(whole.hT);
});

describe("what does not fit is named", () => {
  const p = {
    logDt: input("logDt", [4]),
    aLogReal: input("aLogReal", [4, 3]),
    aImag: input("aImag", [4, 3]),
    c: input("c", [4, 3, 2]),
  };

  test("shapes", () => {
    expect(() => s4dKernel({ ...p, aImag: input("x", [4, 2]) }, { discretization: "zoh" })).toThrow(
      new GraphError("s4d_kernel: A_imag [4, 2] is not [4, 3]"),
    );
    expect(() => s4dKernel({ ...p, c: input("x", [4, 3]) }, { discretization: "zoh" })).toThrow(
      new GraphError("s4d_kernel: C [4, 3] is not [4, 3, 2]"),
    );
    expect(() => diagonalScan(input("u", ["B", "T", 5]), p, { discretization: "zoh" })).toThrow(
      new GraphError("diagonal_scan: u f32 [B, T, 5] is not f32 [batch, time, 4]"),
    );
    const wrongState = { discretization: "zoh" as const, initialState: input("h", ["B", 4, 3]) };
    expect(() => diagonalScan(input("u", ["B", "T", 4]), p, wrongState)).toThrow(
      new GraphError("diagonal_scan: h0 [B, 4, 3] is not [B, 4, 3, 2]"),
    );
    expect(() => longConvolution(input("u", ["B", "T", 4]), input("K", [4, 9]))).toThrow(
      new GraphError("long_convolution: K must be [channels, time] of u (u [B, T, 4], K [4, 9])"),
    );
  });

  test("training through the recurrent form", () => {
    const u = input("u", ["B", "T", 4]);
    const { output } = diagonalScan(u, p, { discretization: "zoh" });
    expect(() => differentiate([{ tensor: output, gradient: output }], [u])).toThrow(/convolution form/);
  });
});
