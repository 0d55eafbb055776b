// matmul and matmul_gradient: shapes and errors, gradients by finite differences, and the kernels of both builds, with one
// and two threads, against the float64 reference.
import { describe, expect, test } from "vitest";
import { makeGraph } from "../../src/graph/graph.ts";
import { input } from "../../src/graph/leaves.ts";
import { GraphError, type Shape, sizeOf } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { linear, matmul, matmulOp } from "../../src/ops/matmul/op.ts";
import { reference } from "../../src/ops/matmul/reference.ts";
import { lower } from "../../src/ops/matmul/wasm.ts";
import { matmulGradient } from "../../src/ops/matmul-gradient/op.ts";
import { reference as gradientReference } from "../../src/ops/matmul-gradient/reference.ts";
import { lower as lowerGradient } from "../../src/ops/matmul-gradient/wasm.ts";
import type { HostTensor } from "../../src/ops/types.ts";
import { evaluateGraph } from "../../src/runtime/reference/runtime.ts";
import { builds, instantiate } from "../kernels/instance.ts";
import { runLowered } from "../kernels/lowered.ts";

/** Reproducible numbers in [-1, 1), exact in f32. */
function numbers(size: number, seed: number): Float32Array {
  let state = seed * 2654435761 + 1;
  return Float32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround(state / 2 ** 31 - 1);
  });
}

const host = (shape: readonly number[], data: Float32Array): HostTensor => ({
  shape,
  dtype: "f32",
  data: Float64Array.from(data),
});

/** Largest |actual - exact|; NaN where any element is. */
function distance(actual: Float32Array, exact: Float64Array | Int32Array | undefined): number {
  if (exact === undefined || exact.length !== actual.length) return Number.NaN;
  return actual.reduce((worst, value, i) => Math.max(worst, Math.abs(value - (exact[i] ?? Number.NaN))), 0);
}

const sameBits = (x: Float32Array | undefined, y: Float32Array | undefined): boolean =>
  x !== undefined && y !== undefined && Buffer.from(x.buffer).equals(Buffer.from(y.buffer));

/** A weight [N, K] or [K, N] in panels, by the formula of kernels/common/panels.as.ts. */
function panelsOf(weight: Float32Array, n: number, k: number, transposed: boolean): Float32Array {
  const packed = new Float32Array(Math.ceil(n / 16) * 16 * k);
  for (let v = 0; v < n; v++) {
    for (let d = 0; d < k; d++) {
      packed[((v >> 4) * k + d) * 16 + (v & 15)] = weight[transposed ? v * k + d : d * n + v] ?? 0;
    }
  }
  return packed;
}

const odd = [1, 2, 3, 5, 17, 33, 65];
const cube = odd.flatMap((m) => odd.flatMap((n) => odd.map((k) => [m, n, k] as const)));
/** Across the limits of every block: 4 rows, 64 rows, 16 and 512 columns, depths of 256, 512 and 1024. */
const blocks = [
  [1, 40, 1025],
  [3, 529, 300],
  [67, 24, 513],
  [130, 530, 260],
  [8, 7, 2049],
] as const;

describe("matmul means", () => {
  test("rows times a weight, whatever stands before the rows", () => {
    const weight = input("w", [5, 3]);
    expect(matmul(input("x", ["B", "T", 5]), weight).shape).toEqual(["B", "T", 3]);
    expect(matmul(input("x", [5]), weight).shape).toEqual([3]);
    expect(linear(input("x", ["B", "T", 3]), weight, input("bias", [5])).shape).toEqual(["B", "T", 5]);
  });

  test("or matrix by matrix, either operand transposed", () => {
    const a = input("a", ["B", 4, "T", 7]);
    expect(matmul(a, input("b", ["B", 4, 7, "C"])).shape).toEqual(["B", 4, "T", "C"]);
    expect(matmul(a, input("b", ["B", 4, "T", 2]), { transposeA: true }).shape).toEqual(["B", 4, 7, 2]);
    expect(matmul(a, a, { transposeB: true }).shape).toEqual(["B", 4, "T", "T"]);
  });

  test("the numbers of the definition", () => {
    const a = host([2, 2], Float32Array.of(1, 2, 3, 4));
    const b = host([2, 2], Float32Array.of(5, 6, 7, 8));
    const bias = host([2], Float32Array.of(100, 200));
    const product = (transposeA: boolean, transposeB: boolean, c?: HostTensor) =>
      Array.from(reference([a, b, c], { transposeA, transposeB })[0]?.data ?? []);
    expect(product(false, false)).toEqual([19, 22, 43, 50]);
    expect(product(false, true)).toEqual([17, 23, 39, 53]);
    expect(product(true, false)).toEqual([26, 30, 38, 44]);
    expect(product(true, true, bias)).toEqual([123, 231, 134, 246]);
  });

  test("two floating point operations for each product, one for each bias", () => {
    const type = (...shape: number[]) => ({ shape, dtype: "f32" as const });
    const attributes = { transposeA: false, transposeB: true };
    expect(matmulOp.flops([type(2, 3, 5), type(7, 5), type(7)], [type(2, 3, 7)], attributes)).toBe(6 * 7 * 11);
  });

  test.each([
    ["depths that differ", () => matmul(input("a", [2, 3]), input("b", [4, 5])), /a has depth 3, b has 4/],
    ["a vector for b", () => matmul(input("a", [2, 3]), input("b", [3])), /a needs at least one axis and b two/],
    [
      "batches that differ",
      () => matmul(input("a", [2, 3, 4]), input("b", [3, 4, 5])),
      /leading axes of a and b must be equal/,
    ],
    [
      "rows of a transposed",
      () => matmul(input("a", [2, 3, 4]), input("b", [3, 5]), { transposeA: true }),
      /as many axes as b/,
    ],
    [
      "a bias of another size",
      () => linear(input("a", [2, 3]), input("b", [4, 3]), input("c", [3])),
      /bias is \[3\], must be \[4\]/,
    ],
    ["integers", () => matmul(input("a", [2, 3], "i32"), input("b", [3, 4])), /must be f32/],
    [
      "rows that differ",
      () => matmulGradient(input("x", [2, 3]), input("dy", [4, 5]), { transposeB: true }),
      /same leading axes/,
    ],
  ] as const)("it refuses %s", (_, make, message) => {
    expect(make).toThrow(GraphError);
    expect(make).toThrow(message);
  });
});

describe("the gradient of matmul agrees with finite differences", () => {
  const cases: readonly (readonly [string, Shape, Shape, boolean, boolean, boolean])[] = [
    ["for a weight [K, N]", [2, 3, 4], [4, 5], false, false, true],
    ["for a weight [N, K]", [2, 3, 4], [5, 4], false, true, true],
    ["for a vector", [4], [5, 4], false, true, true],
    ["for matrices", [2, 3, 4], [2, 4, 5], false, false, false],
    ["with a transposed", [2, 4, 3], [2, 4, 5], true, false, true],
    ["with b transposed", [2, 3, 4], [2, 5, 4], false, true, false],
    ["with both transposed", [4, 3], [5, 4], true, true, true],
  ];
  test.each(cases)("%s", (_, shapeA, shapeB, transposeA, transposeB, biased) => {
    const a = input("a", shapeA);
    const b = input("b", shapeB);
    const leaves: Tensor[] = biased ? [a, b, input("bias", [5])] : [a, b];
    const y = matmul(a, b, { transposeA, transposeB, bias: leaves[2] });
    const dy = input("dy", y.shape);
    const gradients = differentiate([{ tensor: y, gradient: dy }], leaves).map((g) => g ?? y);
    const graph = makeGraph({ outputs: [y, ...gradients].map((tensor, i) => ({ name: `${i}`, tensor })) });
    const values = new Map(
      [...leaves, dy].map((leaf, i) => {
        const shape = leaf.shape.map(Number);
        return [leaf.node, host(shape, numbers(sizeOf(shape), i + 1))] as const;
      }),
    );
    const evaluate = () =>
      evaluateGraph(graph, { B: 1, T: 1, C: 1 }, (node) => values.get(node) ?? host([], new Float32Array(1)));
    const exact = evaluate();
    const loss = () => {
      const upstream = values.get(dy.node)?.data ?? [];
      let sum = 0;
      for (const [i, v] of (evaluate().get(y)?.data ?? []).entries()) sum += v * (upstream[i] ?? 0);
      return sum;
    };
    for (const [i, leaf] of leaves.entries()) {
      const gradient = gradients[i];
      expect(gradient?.shape).toEqual(leaf.shape);
      const data = values.get(leaf.node)?.data ?? new Float64Array();
      for (let j = 0; j < data.length; j++) {
        const at = data[j] ?? 0;
        data[j] = at + 0.5;
        const above = loss();
        data[j] = at - 0.5;
        const below = loss();
        data[j] = at;
        // The loss is linear in each element: a large step is exact.
        expect(gradient && exact.get(gradient)?.data[j]).toBeCloseTo(above - below, 9);
      }
    }
  });
});

describe.each(builds)("the %s kernels agree with the reference", (name) => {
  const build = instantiate(name, 96);

  test.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ] as const)("for plain operands, transposeA %s, transposeB %s", (transposeA, transposeB) => {
    const attributes = { transposeA, transposeB };
    for (const [i, [m, n, k]] of [...cube, ...blocks].entries()) {
      const a = { shape: transposeA ? [k, m] : [m, k], data: numbers(m * k, i) };
      const b = { shape: transposeB ? [n, k] : [k, n], data: numbers(n * k, i + 1) };
      const bias = i % 2 === 0 ? undefined : { shape: [n], data: numbers(n, i + 2) };
      const inputs = [a, b, bias];
      const exact = reference(
        inputs.map((x) => x && host(x.shape, x.data)),
        attributes,
      )[0]?.data;
      const [one] = runLowered(build, lower, attributes, inputs, [[m, n]], 1);
      const [two] = runLowered(build, lower, attributes, inputs, [[m, n]], 2);
      expect(distance(one ?? new Float32Array(), exact), `${m} × ${n} × ${k}`).toBeLessThan(
        2e-6 * Math.sqrt(k) + 1e-7 * k,
      );
      expect(sameBits(two, one), `threads change ${m} × ${n} × ${k}`).toBe(true);
    }
  });

  const packedOf = (weight: Float32Array, n: number, k: number, transposed: 0 | 1): Float32Array => {
    const panels = new Float32Array(Math.ceil(n / 16) * 16 * k).fill(Number.NaN);
    build.run("pack_panels", [weight, panels, n, k, transposed], 2);
    return panels;
  };

  test("for packing a weight and unpacking it", () => {
    for (const [n, k] of [...odd.flatMap((n) => odd.map((k) => [n, k] as const)), [529, 1030] as const]) {
      const weight = numbers(n * k, n + k);
      for (const transposed of [0, 1] as const) {
        const panels = packedOf(weight, n, k, transposed);
        expect(sameBits(panels, panelsOf(weight, n, k, transposed === 1)), `${n} × ${k}`).toBe(true);
        const unpacked = new Float32Array(n * k).fill(Number.NaN);
        build.run("unpack_panels", [panels, unpacked, n, k, transposed], 2);
        expect(sameBits(unpacked, weight), `${n} × ${k}`).toBe(true);
      }
    }
  });

  test("for packed weights times rows as long as their outputs: the gradient of the input", () => {
    for (const [m, n, k] of [
      [1, 1, 1],
      [5, 17, 3],
      [33, 65, 40],
      [3, 700, 90],
    ] as const) {
      const dy = { shape: [m, n], data: numbers(m * n, 1) };
      const weight = numbers(n * k, 2);
      const packed = { shape: [n, k], data: packedOf(weight, n, k, 1), layout: "panels" as const };
      const attributes = { transposeA: false, transposeB: false };
      const [plain] = runLowered(build, lower, attributes, [dy, { shape: [n, k], data: weight }], [[m, k]], 2);
      const [product] = runLowered(build, lower, attributes, [dy, packed], [[m, k]], 2);
      expect(sameBits(product, plain)).toBe(true);
    }
  });

  test("for packed weights, with the same bits as for plain ones and for each row alone", () => {
    for (const [i, [m, n, k]] of [...cube, ...blocks].entries()) {
      const attributes = { transposeA: false, transposeB: true };
      const a = { shape: [m, k], data: numbers(m * k, i) };
      const b = { shape: [n, k], data: numbers(n * k, i + 1) };
      const bias = i % 2 === 0 ? undefined : { shape: [n], data: numbers(n, i + 2) };
      const packed = { shape: b.shape, data: packedOf(b.data, n, k, 1), layout: "panels" as const };
      const [plain] = runLowered(build, lower, attributes, [a, b, bias], [[m, n]], 1);
      for (const threads of [1, 2]) {
        const [product] = runLowered(build, lower, attributes, [a, packed, bias], [[m, n]], threads);
        expect(sameBits(product, plain), `${m} × ${n} × ${k}`).toBe(true);
      }
      const last = { shape: [1, k], data: a.data.slice((m - 1) * k) };
      const [row] = runLowered(build, lower, attributes, [last, packed, bias], [[1, n]], 2);
      expect(sameBits(row, plain?.slice((m - 1) * n)), `last row of ${m} × ${n} × ${k}`).toBe(true);
    }
  });

  test("matrix by matrix", () => {
    for (const [m, n, k] of [
      [1, 1, 1],
      [5, 17, 3],
      [33, 8, 65],
      [2, 100, 7],
    ] as const) {
      for (const batch of [1, 2, 3, 5]) {
        for (const [transposeA, transposeB] of [
          [false, true],
          [true, false],
        ] as const) {
          const attributes = { transposeA, transposeB };
          const a = { shape: transposeA ? [batch, k, m] : [batch, m, k], data: numbers(batch * m * k, 1) };
          const b = { shape: transposeB ? [batch, n, k] : [batch, k, n], data: numbers(batch * n * k, 2) };
          const exact = reference([host(a.shape, a.data), host(b.shape, b.data)], attributes)[0]?.data;
          for (const threads of [1, 2, 3]) {
            const [product] = runLowered(build, lower, attributes, [a, b], [[batch, m, n]], threads);
            expect(distance(product ?? new Float32Array(), exact)).toBeLessThan(1e-5);
          }
        }
      }
    }
  });

  test("for the gradient of a weight in either layout, one row or many", () => {
    for (const [i, [leading, k, n]] of (
      [
        [[1], 1, 1],
        [[1, 1], 17, 5],
        [[3, 11], 40, 65],
        [[2, 1024], 33, 8],
        [[5, 103], 3, 130],
      ] as const
    ).entries()) {
      const rows = sizeOf(leading);
      const x = { shape: [...leading, k], data: numbers(rows * k, i) };
      const dy = { shape: [...leading, n], data: numbers(rows * n, i + 9) };
      for (const transposeB of [false, true]) {
        const exact = gradientReference([host(x.shape, x.data), host(dy.shape, dy.data)], { transposeB })[0];
        const shape = transposeB ? [n, k] : [k, n];
        expect(exact?.shape).toEqual(shape);
        const [one] = runLowered(build, lowerGradient, { transposeB }, [x, dy], [shape], 1);
        const [two] = runLowered(build, lowerGradient, { transposeB }, [x, dy], [shape], 2);
        expect(distance(one ?? new Float32Array(), exact?.data)).toBeLessThan(1e-6 * rows ** 0.5 + 1e-7 * rows);
        expect(sameBits(two, one)).toBe(true);
      }
    }
  });
});
