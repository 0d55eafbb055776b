// matmul and matmul_gradient on the GPU against the float64 reference: every transposition, odd sizes, every tile and split,
// few rows, weights in narrow storage, tensors larger than a binding.
import { afterAll, describe, test } from "vitest";
import { makeGraph } from "../../src/graph/graph.ts";
import { input, parameter } from "../../src/graph/leaves.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { matmul } from "../../src/ops/matmul/op.ts";
import { matmulGradient } from "../../src/ops/matmul-gradient/op.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";
import { evaluate, expectClose, feedOf, numbers } from "./evaluate.ts";
import { checkOp, gpuRuntimes, testRuntime } from "./harness.ts";

interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batch?: readonly number[];
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly biased?: boolean;
}

/** Many products as one graph, with their inputs. */
function graphOf(products: readonly Product[]) {
  const shapes: Record<string, readonly number[]> = {};
  const leaf = (name: string, shape: readonly number[]): Tensor => {
    shapes[name] = shape;
    return input(name, shape);
  };
  const outputs = products.map(({ m, n, k, batch = [], transposeA = false, transposeB = false, biased = false }, i) => {
    const a = leaf(`a${i}`, [...batch, ...(transposeA ? [k, m] : [m, k])]);
    const b = leaf(`b${i}`, [...batch, ...(transposeB ? [n, k] : [k, n])]);
    return matmul(a, b, { transposeA, transposeB, bias: biased ? leaf(`bias${i}`, [n]) : undefined });
  });
  return { outputs, feed: feedOf(shapes) };
}

const name = ({ m, n, k, batch = [], transposeA = false, transposeB = false, biased = false }: Product): string =>
  `${[...batch, m].join("×")}×${n}×${k} ${transposeA ? "T" : "N"}${transposeB ? "T" : "N"}${biased ? " + bias" : ""}`;

const transpositions = [false, true].flatMap((transposeA) =>
  [false, true].map((transposeB) => ({ transposeA, transposeB })),
);
/** Odd sizes; multiples of 4 that are none of a tile; beyond a tile of 32 and of 64. */
const sizes: readonly Product[] = [
  { m: 1, n: 1, k: 1 },
  { m: 3, n: 5, k: 7 },
  { m: 17, n: 33, k: 65, biased: true },
  { m: 36, n: 4, k: 12, biased: true },
  { m: 33, n: 68, k: 20 },
  { m: 65, n: 130, k: 40, biased: true },
];

describe.each(gpuRuntimes)("on %s, matmul is the product", (runtime) => {
  const agree = async (products: readonly Product[], tolerance = 2e-5): Promise<void> => {
    const { outputs, feed } = graphOf(products);
    const expected = await evaluate(outputs, feed);
    const actual = await evaluate(outputs, feed, { name: runtime, gpu: runtime });
    for (const [i, product] of products.entries())
      expectClose(name(product), actual[i] ?? [], expected[i] ?? [], tolerance);
  };

  test.each(transpositions)("of odd sizes, transposeA $transposeA, transposeB $transposeB", (transposition) =>
    agree(sizes.map((size) => ({ ...size, ...transposition }))),
  );

  test("matrix by matrix", () =>
    agree(
      transpositions.flatMap((transposition) => [
        { m: 5, n: 7, k: 3, batch: [2, 3], biased: true, ...transposition },
        { m: 36, n: 40, k: 20, batch: [5], ...transposition },
      ]),
    ));

  test("in tiles of 64 where there are many", () =>
    agree([
      { m: 520, n: 516, k: 36, transposeB: true, biased: true },
      { m: 513, n: 515, k: 19 },
      { m: 70, n: 72, k: 4100, transposeA: true },
    ]));

  test("in tiles of 128 where there are many of those", () =>
    agree([
      { m: 1025, n: 900, k: 5 },
      { m: 900, n: 1028, k: 8, transposeB: true, biased: true },
    ]));

  test("with the depth in several ranges where there are few tiles", () =>
    agree([
      { m: 33, n: 20, k: 1030, transposeA: true },
      { m: 20, n: 36, k: 2052, biased: true },
      { m: 9, n: 5, k: 1000, transposeB: true, biased: true },
      { m: 12, n: 8, k: 700, batch: [3], transposeA: true },
    ]));

  test("of few rows with a weight, as in decoding", () =>
    agree(
      [1, 2, 3, 4, 5, 8].flatMap((m) => [
        { m, n: 37, k: 64, transposeB: true, biased: true },
        { m, n: 6, k: 75, transposeB: true },
      ]),
    ));

  test("of few rows with long rows of a weight", () =>
    agree([
      { m: 1, n: 33, k: 2052, transposeB: true },
      { m: 4, n: 10, k: 2049, transposeB: true, biased: true },
    ]));

  test("and matmul_gradient the gradient of the weight", async () => {
    const shapes = { x: [2, 3, 40], dy: [2, 3, 36], longX: [3, 401, 9], longDy: [3, 401, 17] };
    const feed = feedOf(shapes);
    const leaf = (key: keyof typeof shapes): Tensor => input(key, shapes[key]);
    const [x, dy, longX, longDy] = [leaf("x"), leaf("dy"), leaf("longX"), leaf("longDy")];
    const outputs = [false, true].flatMap((transposeB) => [
      matmulGradient(x, dy, { transposeB }),
      matmulGradient(longX, longDy, { transposeB }),
    ]);
    const expected = await evaluate(outputs, feed);
    const actual = await evaluate(outputs, feed, { name: runtime, gpu: runtime });
    for (const i of outputs.keys()) expectClose(`gradient ${i}`, actual[i] ?? [], expected[i] ?? [], 2e-5);
  });

  test("and so are its gradients", async () => {
    for (const transposeB of [false, true]) {
      await checkOp({
        inputs: {
          x: { shape: [2, "T", 12] },
          w: { shape: transposeB ? [20, 12] : [12, 20] },
          bias: { shape: [20], gradient: false },
        },
        bindings: { T: 5 },
        build: ({ x, w, bias }) => ({ y: matmul(x as Tensor, w as Tensor, { bias, transposeB }) }),
        runtimes: [runtime],
      });
    }
    for (const transposition of transpositions) {
      await checkOp({
        inputs: {
          a: { shape: [3, ...(transposition.transposeA ? [6, 5] : [5, 6])] },
          b: { shape: [3, ...(transposition.transposeB ? [7, 6] : [6, 7])] },
        },
        build: ({ a, b }) => ({ y: matmul(a as Tensor, b as Tensor, transposition) }),
        runtimes: [runtime],
      });
    }
  });
});

/** A program of `outputs` on this runtime, compared with the reference. */
async function agreeOn(
  runtime: Runtime,
  outputs: readonly Tensor[],
  feed: ReturnType<typeof feedOf>,
  tolerance = 2e-5,
): Promise<void> {
  const expected = await evaluate(outputs, feed);
  const graph = makeGraph({ outputs: outputs.map((tensor, i) => ({ name: String(i), tensor })) });
  const program = await runtime.compile(graph, { bindings: { B: 1, T: 1, C: 0 }, buffers: new Map(), poison: true });
  const values = graph.inputs.map(({ name }) => [name, Float32Array.from(feed.get(name)?.data ?? [])] as const);
  const actual = await program.run(Object.fromEntries(values));
  for (const i of outputs.keys()) expectClose(`product ${i}`, actual[i] ?? [], expected[i] ?? [], tolerance);
  program.free();
}

describe("a weight in narrow storage is what it reads back as", () => {
  // Rows of whole blocks, of whole words, and of neither.
  const widths = [64, 36, 21];
  const rows = [1, 3, 12];

  test.for(["f32", "f16", "int8", "int4"] as const)("%s", async (storage, { skip }) => {
    const runtime = await testRuntime("webgpu/adapter");
    if (storage === "f16") {
      try {
        runtime.buffer({ shape: [1], dtype: "f32" }, undefined, { storage }).free();
      } catch {
        skip("this adapter has no shader-f16");
      }
    }
    for (const k of widths) {
      const n = 40;
      const type = (shape: readonly number[]) => ({ shape, dtype: "f32" as const });
      const buffer = runtime.buffer(type([n, k]), numbers(n * k, 3), { storage });
      const weight = parameter("w", [n, k], { kind: "zeros" });
      const inputs = [...rows.map((m) => [m, k]), [5, n]];
      const leaves = inputs.map((shape, i) => input(`x${i}`, shape));
      const feed = feedOf(Object.fromEntries(inputs.map((shape, i) => [`x${i}`, shape])));
      const outputs = leaves.map((x, i) => matmul(x, weight, { transposeB: i < rows.length }));
      const exact = new Map(feed).set("w", { ...type([n, k]), data: await buffer.read() });
      const expected = await evaluate(outputs, exact);
      const graph = makeGraph({ outputs: outputs.map((tensor, i) => ({ name: String(i), tensor })) });
      const program = await runtime.compile(graph, {
        bindings: { B: 1, T: 1, C: 0 },
        buffers: new Map([["w", buffer]]),
        poison: true,
      });
      const values = [...feed].map(([key, { data }]) => [key, Float32Array.from(data)] as const);
      const actual = await program.run(Object.fromEntries(values));
      for (const i of outputs.keys()) {
        expectClose(`${inputs[i]} · ${storage} [${n}, ${k}]`, actual[i] ?? [], expected[i] ?? [], 2e-5);
      }
      program.free();
      buffer.free();
    }
  });
});

describe("operands larger than a binding are cut", () => {
  // 4096 elements of f32: of rows of 128 elements 32, since a part starts at a multiple of 2048.
  const opened = createWebGpuRuntime({ adapter: "software", limits: "default", f16: false, maxBinding: 1 << 14 });
  afterAll(async () => (await opened).close());

  test.each<readonly [string, readonly Product[]]>([
    [
      "weights along their rows",
      [
        { m: 2, n: 100, k: 128, transposeB: true, biased: true },
        { m: 20, n: 100, k: 128, transposeB: true, biased: true },
      ],
    ],
    ["x and the product along their rows", [{ m: 70, n: 64, k: 128, transposeB: true }]],
    ["the depth of weights [K, N], the bias added once", [{ m: 40, n: 64, k: 128, biased: true }]],
    ["the depth of both, each part of it in several ranges", [{ m: 4, n: 4, k: 2100, transposeA: true, batch: [1] }]],
    [
      "batches, between matrices and within",
      [
        { m: 32, n: 32, k: 64, batch: [6] },
        { m: 64, n: 32, k: 128, batch: [2], transposeB: true },
        { m: 65, n: 67, k: 63, batch: [3], transposeA: true },
      ],
    ],
  ])("%s", async (_, products) => {
    const { outputs, feed } = graphOf(products);
    await agreeOn(await opened, outputs, feed);
  });

  test("and the rows of a gradient's operands", async () => {
    const shapes = { x: [300, 64], dy: [300, 32] };
    const [x, dy] = [input("x", shapes.x), input("dy", shapes.dy)];
    const outputs = [false, true].map((transposeB) => matmulGradient(x, dy, { transposeB }));
    await agreeOn(await opened, outputs, feedOf(shapes));
  });
});
