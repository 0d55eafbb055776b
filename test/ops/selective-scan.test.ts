// selective_scan and its gradient: PyTorch fixtures, finite differences, every build and thread count, sizes with tails.
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { GraphError } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { selectiveScan, selectiveScanOp } from "../../src/ops/selective-scan/op.ts";
import { reference } from "../../src/ops/selective-scan/reference.ts";
import { lower } from "../../src/ops/selective-scan/wasm.ts";
import { selectiveScanGradientOp } from "../../src/ops/selective-scan-gradient/op.ts";
import { reference as gradientReference } from "../../src/ops/selective-scan-gradient/reference.ts";
import { lower as lowerGradient } from "../../src/ops/selective-scan-gradient/wasm.ts";
import { loadCases } from "./fixtures.ts";
import { checkOp, compare, generator, type OpInput } from "./harness.ts";
import { builds, type HostInput, runLowered } from "./lowered.ts";

const required = <V>(value: V | undefined): V => {
  if (value === undefined) throw new Error("missing");
  return value;
};

/** Applies the op to inputs by the fixtures' names. */
function scan(
  x: Readonly<Record<string, Tensor>>,
  deltaSoftplus: boolean,
): { readonly y: Tensor; readonly hT: Tensor } {
  const { output, finalState } = selectiveScan(
    required(x.u),
    required(x.delta),
    required(x.A),
    required(x.B),
    required(x.C),
    { D: x.D, z: x.z, deltaBias: x.delta_bias, initialState: x.h0, deltaSoftplus },
  );
  return { y: output, hT: finalState };
}

const cases = await loadCases("selective_scan");

test.each(cases)("selective_scan agrees with PyTorch in outputs and all gradients: $name", async (fixture) => {
  const data = (names: readonly string[]): Record<string, ArrayLike<number>> =>
    Object.fromEntries(names.map((name) => [name, required(fixture.tensors.get(name)).data]));
  await checkOp({
    inputs: Object.fromEntries(
      fixture.inputs.map((name) => {
        const { shape, data: values } = required(fixture.tensors.get(name));
        return [name, { shape, values }];
      }),
    ),
    build: (x) => scan(x, fixture.attrs.delta_softplus === true),
    upstream: Object.fromEntries(
      fixture.upstream.map((name) => [name.slice(1), required(fixture.tensors.get(name)).data]),
    ),
    differentiated: fixture.upstream.map((name) => name.slice(1)),
    expected: data([...fixture.outputs, ...fixture.grads]),
    tolerance: { outputs: fixture.tolerance, gradients: fixture.tolerance },
    finiteDifferences: false,
  });
});

interface Sizes {
  readonly batch: number;
  readonly tokens: number;
  readonly channels: number;
  readonly states: number;
}

/** Inputs of every kind; Δ about as large as `step`. */
function inputsOf({ batch, tokens, channels, states }: Sizes, step = 0.5): Readonly<Record<string, OpInput>> {
  const sequence = [batch, tokens, channels];
  const projections = [batch, tokens, states];
  const bias = Math.log(Math.expm1(step));
  return {
    u: { shape: sequence },
    delta: { shape: sequence },
    A: { shape: [channels, states], low: -2, high: -0.1 },
    B: { shape: projections },
    C: { shape: projections },
    D: { shape: [channels] },
    z: { shape: sequence, low: -3, high: 3 },
    delta_bias: { shape: [channels], low: bias - 0.5, high: bias + 0.5 },
    h0: { shape: [batch, channels, states] },
  };
}

describe("selective_scan", () => {
  test.each([
    { batch: 2, tokens: 3, channels: 2, states: 3, softplus: true },
    { batch: 1, tokens: 4, channels: 3, states: 2, softplus: false },
  ])("has the gradients of finite differences (softplus: $softplus)", async ({ softplus, ...sizes }) => {
    await checkOp({ inputs: inputsOf(sizes), build: (x) => scan(x, softplus), finiteDifferences: true });
  });

  test.each([
    { batch: 1, tokens: 1, channels: 1, states: 1 },
    { batch: 3, tokens: 1, channels: 33, states: 16 },
    { batch: 1, tokens: 64, channels: 16, states: 16 },
    { batch: 1, tokens: 65, channels: 17, states: 16 },
    { batch: 2, tokens: 63, channels: 20, states: 8 },
    { batch: 3, tokens: 130, channels: 5, states: 20 },
    { batch: 1, tokens: 9, channels: 50, states: 13 },
    { batch: 5, tokens: 70, channels: 3, states: 36 },
  ])("runs alike everywhere: batch $batch, $tokens tokens, $channels channels, $states states", async (sizes) => {
    await checkOp({ inputs: inputsOf(sizes), build: (x) => scan(x, true), finiteDifferences: false });
  });

  // The three ways of computing decays, by how far below 0 their exponents reach.
  test.each([0.001, 0.3, 3, 40, 400])("keeps its accuracy with steps of about %s", async (step) => {
    const sizes = { batch: 2, tokens: 70, channels: 18, states: 16 };
    await checkOp({ inputs: inputsOf(sizes, step), build: (x) => scan(x, true), finiteDifferences: false });
  });

  test("keeps its accuracy with growing states and negative steps", async () => {
    const inputs = inputsOf({ batch: 1, tokens: 20, channels: 8, states: 16 });
    const A = { shape: [8, 16], low: -0.5, high: 0.5 };
    await checkOp({ inputs: { ...inputs, A }, build: (x) => scan(x, false), finiteDifferences: false });
  });

  test("takes the gradient of the final state alone", async () => {
    await checkOp({
      inputs: inputsOf({ batch: 2, tokens: 67, channels: 6, states: 16 }),
      build: (x) => scan(x, true),
      differentiated: ["hT"],
      finiteDifferences: false,
    });
  });

  test.each([1, 7, 64, 100])("gives the same in chunks of %s tokens, each from the last one's state", (size) => {
    const sizes = { batch: 2, tokens: 131, channels: 19, states: 16 };
    const draw = generator(3);
    const shapes = Object.values(inputsOf(sizes)).map((spec) => spec.shape as readonly number[]);
    const inputs: HostInput[] = shapes.map((shape, i) => ({
      shape,
      dtype: "f32",
      data: Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () =>
        i === 2 ? -2 * draw() : 2 * draw() - 1,
      ),
    }));
    const [whole, last] = runLowered(selectiveScanOp, lower, inputs, { deltaSoftplus: true }, { threads: 2 });
    const y = new Float32Array(whole?.length ?? 0);
    let state: HostInput | undefined = inputs[8];
    for (let t = 0; t < sizes.tokens; t += size) {
      const count = Math.min(size, sizes.tokens - t);
      const slices = inputs.map((tensor, i) => {
        if (i === 8) return state;
        if (tensor.shape.length !== 3) return tensor;
        const width = tensor.shape[2] ?? 0;
        const rows = [0, 1].flatMap((b) =>
          Array.from(tensor.data).slice((b * sizes.tokens + t) * width, (b * sizes.tokens + t + count) * width),
        );
        return { ...tensor, shape: [2, count, width], data: rows };
      });
      // The state is updated in place, as in generation.
      const [part = [], next = []] = runLowered(
        selectiveScanOp,
        lower,
        slices,
        { deltaSoftplus: true },
        {
          threads: 2,
          inPlace: [[8, 1]],
        },
      );
      for (const b of [0, 1]) {
        const width = count * sizes.channels;
        y.set(Array.from(part).slice(b * width, (b + 1) * width), (b * sizes.tokens + t) * sizes.channels);
      }
      state = { shape: [2, sizes.channels, sizes.states], dtype: "f32", data: next };
    }
    compare("y", y, whole ?? [], 2e-6);
    compare("final state", state?.data ?? [], last ?? [], 2e-6);
  });

  test.each(builds)("%s: results that nobody reads are skipped, and y may overwrite u, delta or z", (build) => {
    const sizes = { batch: 2, tokens: 70, channels: 21, states: 6 };
    const { inputs, exact } = drawn(sizes);
    for (const threads of [1, 2, 3, 5]) {
      for (const inPlace of [[], [[0, 0]], [[1, 0]], [[6, 0]]] as (readonly [number, number])[][]) {
        const wanted = (i: number): boolean => i === 0;
        const [y] = runLowered(
          selectiveScanOp,
          lower,
          inputs,
          { deltaSoftplus: true },
          { build, threads, wanted, inPlace },
        );
        compare("y", y ?? [], exact[0]?.data ?? [], 2e-5);
      }
    }
  });

  test.each(builds)(
    "%s: each gradient comes out the same whatever others are wanted, for any number of threads",
    (build) => {
      const sizes = { batch: 2, tokens: 70, channels: 37, states: 16 };
      const { inputs, exact } = drawn(sizes);
      const draw = generator(9);
      const random = (shape: readonly number[]): HostInput => ({
        shape,
        dtype: "f32",
        data: Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => 2 * draw() - 1),
      });
      const starts = required(exact[2]);
      const backward = [
        ...inputs.slice(0, 8),
        { ...starts, data: Float32Array.from(starts.data) },
        random([2, 70, 37]),
        random([2, 37, 16]),
      ];
      const expected = gradientReference(backward.map(host), { deltaSoftplus: true });
      for (const threads of [1, 2, 5]) {
        for (let only = -1; only < 9; only++) {
          const wanted = (i: number): boolean => only < 0 || i === only;
          const actual = runLowered(
            selectiveScanGradientOp,
            lowerGradient,
            backward,
            { deltaSoftplus: true },
            { build, threads, wanted },
          );
          for (const [i, value] of actual.entries()) {
            if (wanted(i)) compare(`gradient ${i}`, value ?? [], expected[i]?.data ?? [], 2e-5);
          }
        }
      }
    },
  );

  test("names the input that does not fit", () => {
    const x = (name: string, shape: readonly number[], dtype: "f32" | "i32" = "f32"): Tensor =>
      input(name, shape, dtype);
    const u = x("u", [1, 4, 6]);
    const A = x("A", [6, 2]);
    const B = x("B", [1, 4, 2]);
    expect(() => selectiveScan(u, x("delta", [1, 4, 5]), A, B, B)).toThrow(
      /selective_scan: delta \[1, 4, 5\] is not \[1, 4, 6\]/,
    );
    expect(() => selectiveScan(u, u, x("A", [5, 2]), B, B)).toThrow(/selective_scan: A \[5, 2\] is not \[6, 2\]/);
    expect(() => selectiveScan(u, u, A, x("B", [1, 4, 3]), B)).toThrow(/B \[1, 4, 3\] is not \[1, 4, 2\]/);
    expect(() => selectiveScan(u, u, A, B, B, { D: x("D", [2]) })).toThrow(/D \[2\] is not \[6\]/);
    expect(() => selectiveScan(u, u, A, B, B, { initialState: x("h0", [6, 2]) })).toThrow(
      /h0 \[6, 2\] is not \[1, 6, 2\]/,
    );
    expect(() => selectiveScan(x("u", [4, 6]), u, A, B, B)).toThrow(/u \[4, 6\] is not \[batch, time, channels\]/);
    expect(() => selectiveScan(u, x("delta", [1, 4, 6], "i32"), A, B, B)).toThrow(GraphError);
  });
});

const host = (tensor: HostInput | undefined) =>
  tensor && { shape: tensor.shape, dtype: tensor.dtype, data: Float64Array.from(tensor.data) };

/** Random inputs of every kind, and what the reference makes of them. */
function drawn(sizes: Sizes) {
  const draw = generator(5);
  const inputs: HostInput[] = Object.values(inputsOf(sizes)).map(({ shape, low = -1, high = 1 }) => ({
    shape: shape as readonly number[],
    dtype: "f32",
    data: Float32Array.from(
      { length: (shape as readonly number[]).reduce((n, d) => n * d, 1) },
      () => low + (high - low) * draw(),
    ),
  }));
  return { inputs, exact: reference(inputs.map(host), { deltaSoftplus: true }) };
}
