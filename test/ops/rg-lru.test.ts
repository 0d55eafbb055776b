// The real-gated linear recurrent unit: a recurrence written down here once more, finite differences, every build, sizes with tails.
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { GraphError } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { rgLru } from "../../src/ops/rg-lru/op.ts";
import { loadCases } from "./fixtures.ts";
import { checkOp, type OpInput } from "./harness.ts";

function tensor(inputs: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const found = inputs[name];
  if (found === undefined) throw new Error(`no input ${name}`);
  return found;
}

const build = (inputs: Readonly<Record<string, Tensor>>): Record<string, Tensor> => {
  const { output, finalState } = rgLru(tensor(inputs, "x"), tensor(inputs, "l"), {
    position: inputs.position,
    initialState: inputs.h0,
  });
  return { y: output, hT: finalState };
};

interface Size {
  readonly batch: number;
  readonly tokens: number;
  readonly channels: number;
  /** Tokens before the call, row by row; absent in stateless graphs. */
  readonly position?: readonly number[];
  readonly state?: boolean;
}

const sequences = ({ channels, position, state }: Size, low = -2): Record<string, OpInput> => ({
  x: { shape: ["B", "T", channels] },
  l: { shape: ["B", "T", channels], low, high: low / 100 },
  ...(position === undefined ? {} : { position: { shape: ["B"] as const, dtype: "i32" as const, values: position } }),
  ...(state === true ? { h0: { shape: ["B", channels] as const } } : {}),
});

// A decay is the exponential of a real number here.
const cases = (await loadCases("lru_scan")).filter(({ tensors }) =>
  Array.from(tensors.get("a")?.data ?? []).every((a) => a >= 0),
);

describe("rg_lru", () => {
  test.each<Size>([
    { batch: 1, tokens: 1, channels: 1 },
    { batch: 1, tokens: 1, channels: 1, position: [0], state: true },
    { batch: 2, tokens: 5, channels: 3, position: [0, 4], state: true },
    { batch: 1, tokens: 4, channels: 6, position: [7], state: false },
    { batch: 2, tokens: 33, channels: 18, position: [3, 0], state: true },
    { batch: 3, tokens: 1, channels: 37, position: [3, 0, 9], state: true },
    { batch: 1, tokens: 97, channels: 5 },
    { batch: 1, tokens: 70, channels: 130 },
  ])("of $batch × $tokens × $channels, position $position, state $state, agrees with its reference", async (size) => {
    const { batch, tokens } = size;
    await checkOp({ inputs: sequences(size), bindings: { B: batch, T: tokens }, build });
  });

  // Decays next to 1, where 1 - a² would lose every digit, and decays that leave nothing.
  test.each([-1e-5, -1e-3, -0.1, -20, -200])("keeps its accuracy with decays down to e^%s", async (low) => {
    const size = { batch: 1, tokens: 20, channels: 7, position: [1], state: true };
    const bindings = { B: 1, T: 20 };
    await checkOp({ inputs: sequences(size, low), bindings, build, finiteDifferences: false });
  });

  test("takes a gradient from the final state alone, or from the outputs alone", async () => {
    const size = { batch: 2, tokens: 6, channels: 5, position: [0, 3], state: true };
    for (const differentiated of [["hT"], ["y"]]) {
      await checkOp({
        ...{ inputs: sequences(size), bindings: { B: 2, T: 6 }, build, differentiated },
        runtimes: ["simd/2", "relaxed/1", "webgpu/default"],
      });
    }
  });

  test.each(cases)("is the plain recurrence where its factor is known: $name", async (fixture) => {
    const get = (name: string) => {
      const found = fixture.tensors.get(name);
      if (found === undefined) throw new Error(`no ${name}`);
      return found;
    };
    const [a, b] = [get("a"), get("b")];
    const [batch = 0] = a.shape;
    // h = a h + b with b = m x.
    const x = Float64Array.from(b.data, (value, i) => value / Math.sqrt(1 - Number(a.data[i]) ** 2));
    const l = Float64Array.from(a.data, (value) => Math.log(value));
    const h0 = fixture.tensors.get("h0");
    await checkOp({
      inputs: {
        x: { shape: a.shape, values: x },
        l: { shape: a.shape, values: l },
        position: { shape: [batch], dtype: "i32", values: new Array<number>(batch).fill(1) },
        ...(h0 === undefined ? {} : { h0: { shape: h0.shape, values: h0.data } }),
      },
      build,
      expected: { y: get("y").data, hT: get("hT").data },
      // x is rounded to float32 on its way in.
      tolerance: { outputs: 2e-5 },
      finiteDifferences: false,
    });
  });

  test("refuses what does not fit", () => {
    const x = input("x", ["B", "T", 4]);
    expect(() => rgLru(x, input("l", ["B", "T", 5]))).toThrow(GraphError);
    expect(() => rgLru(input("x2", ["B", 4]), x)).toThrow("not f32 [batch, time, channels]");
    expect(() => rgLru(x, input("l2", ["B", "T", 4]), { position: input("p", ["B"]) })).toThrow("not i32 [batch]");
    expect(() => rgLru(x, input("l3", ["B", "T", 4]), { initialState: input("h", ["B", 3]) })).toThrow("h0 f32");
  });
});
