// matmul and matmul_gradient on the GPU against the float64 reference: every transposition, odd sizes, every tile and split,
// few rows, weights in narrow storage, tensors larger than a binding.
import { describe, test } from "vitest";
import { input } from "../../src/graph/leaves.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { matmul } from "../../src/ops/matmul/op.ts";
import { matmulGradient } from "../../src/ops/matmul-gradient/op.ts";
import { evaluate, expectClose, feedOf } from "./evaluate.ts";
import { checkOp, gpuRuntimes } from "./harness.ts";

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
    ]));

  test("with the depth in several ranges where there are few tiles", () =>
    agree([
      { m: 33, n: 20, k: 1030, transposeA: true },
      { m: 20, n: 36, k: 2052, biased: true },
      { m: 9, n: 5, k: 1000, transposeB: true, biased: true },
      { m: 12, n: 8, k: 700, batch: [3], transposeA: true },
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
