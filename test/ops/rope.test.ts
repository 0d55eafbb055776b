// rope: PyTorch fixtures, finite differences, positions of every kind, exactness far out.
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import { GraphError, type Shape } from "../../src/graph/shape.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { type RopeOptions, rope, ropeOp } from "../../src/ops/rope/op.ts";
import { lower } from "../../src/ops/rope/wasm.ts";
import {
  checkFixture,
  engines,
  evaluate,
  expectClose,
  expectEnginesAgree,
  expectGradients,
  feedOf,
  wasmEngines,
} from "./evaluate.ts";
import { loadCases } from "./fixtures.ts";
import { checkOp } from "./harness.ts";
import { type HostInput, runLowered } from "./lowered.ts";

function need<V>(value: V | undefined): V {
  if (value === undefined) throw new Error("missing");
  return value;
}

const cases = await loadCases("rope");

describe.each(engines)("on $name", (engine) => {
  test.each(cases)("rope agrees with PyTorch in output and gradient: $name", async (fixture) => {
    await checkFixture(fixture, engine, (x) => ({
      y: rope(need(x.get("x")), need(x.get("inv_freq")), {
        positions: x.get("positions"),
        attentionScaling: Number(fixture.attrs.attention_scaling),
      }),
    }));
  });
});

/** Frequencies as RoPE has them, for `half` pairs. */
const frequencies = (half: number): HostInput => ({
  shape: [half],
  dtype: "f32",
  data: Float32Array.from({ length: half }, (_, j) => 10000 ** (-j / half)),
});

describe("rope", () => {
  test.each([
    [1, 1, 1, 2, 1],
    [2, 5, 3, 6, 3],
    [3, 7, 2, 11, 4],
    [2, 33, 1, 17, 8],
    [1, 12, 5, 64, 32],
    [2, 9, 2, 30, 15],
  ])("rotates [%i, %i, %i, %i] by %i frequencies in every build", async (batch, tokens, heads, channels, half) => {
    const x = input("x", [batch, tokens, heads, channels]);
    const f = input("f", [half]);
    const start = input("start", [batch], "i32");
    const each = input("each", [batch, tokens], "i32");
    const dy = input("dy", x.shape);
    const feed = new Map(feedOf({ x: [batch, tokens, heads, channels], dy: [batch, tokens, heads, channels] }));
    feed.set("f", frequencies(half));
    feed.set("start", { shape: [batch], dtype: "i32", data: Array.from({ length: batch }, (_, b) => 100 * b + 3) });
    feed.set("each", {
      shape: [batch, tokens],
      dtype: "i32",
      data: Array.from({ length: batch * tokens }, (_, i) => (i * 37) % 211),
    });
    const outputs = [undefined, start, each].map((positions) => rope(x, f, { positions, attentionScaling: 1.25 }));
    const gradients = outputs.map((tensor) => need(differentiate([{ tensor, gradient: dy }], [x])[0]));
    await expectEnginesAgree([...outputs, ...gradients], feed, 1e-6);
  });

  test("has the gradient of a finite difference", async () => {
    const x = input("x", [2, 3, 1, 5]);
    const feed = new Map(feedOf({ x: [2, 3, 1, 5] })).set("f", frequencies(2));
    await expectGradients([rope(x, input("f", [2]), { attentionScaling: 1.3 })], [x], feed);
  });

  test("and its inverse leave the input as it was", async () => {
    const x = input("x", [2, 40, 2, 16]);
    const f = input("f", [6]);
    const feed = new Map(feedOf({ x: [2, 40, 2, 16] })).set("f", frequencies(6));
    for (const engine of engines) {
      const [y] = await evaluate([rope(rope(x, f), f, { inverse: true })], feed, engine);
      expectClose(engine.name, need(y), need(feed.get("x")).data, 1e-6);
    }
  });

  test("is as exact at token 16 million as at token 0", async () => {
    const x = input("x", [1, 3, 1, 8]);
    const feed = new Map(feedOf({ x: [1, 3, 1, 8] })).set("f", frequencies(4));
    feed.set("p", { shape: [1, 3], dtype: "i32", data: [131_071, 1_000_003, 16_777_213] });
    await expectEnginesAgree([rope(x, input("f", [4]), { positions: input("p", [1, 3], "i32") })], feed, 1e-6);
  });

  test("may overwrite its input", async () => {
    const feed = new Map(feedOf({ x: [2, 6, 3, 10] }));
    const values = [feed.get("x"), frequencies(3), undefined];
    const attributes = { attentionScaling: 1, inverse: false };
    for (const { wasm } of wasmEngines) {
      const [apart] = runLowered(ropeOp, lower, values, attributes, wasm);
      const [inPlace] = runLowered(ropeOp, lower, values, attributes, { ...wasm, inPlace: [[0, 0]] });
      expect(inPlace).toEqual(apart);
    }
  });

  test("runs on real threads", async () => {
    await checkOp({
      inputs: {
        x: { shape: ["B", "T", 2, 12] },
        f: { shape: [4], values: Array.from(frequencies(4).data), gradient: false },
        start: { shape: ["B"], dtype: "i32", values: [5, 0, 90] },
      },
      bindings: { B: 3, T: 11 },
      build: (tensors) => ({ y: rope(need(tensors.x), need(tensors.f), { positions: tensors.start }) }),
    });
  });

  test.each([
    ["more channels than a head has", ["B", "T", 2, 6], [4], {}, "8 channels to rotate, but heads have 6"],
    ["missing axes", ["B", "T", 6], [2], {}, "x must be f32 [B, T, H, d]"],
    [
      "positions of other rows",
      ["B", "T", 2, 6],
      [2],
      { positions: input("p", ["T"], "i32") },
      "must be i32 [B] or [B, T]",
    ],
    ["positions that are floats", ["B", "T", 2, 6], [2], { positions: input("p", ["B"]) }, "positions are f32 [B]"],
  ] as const)("refuses %s", (_, x: Shape, f: Shape, options: RopeOptions, message) => {
    const build = () => rope(input("x", x), input("f", f), options);
    expect(build).toThrow(GraphError);
    expect(build).toThrow(message);
  });
});
