// Weights in narrower types: what a file computes is what the matrices that it stores say, in every dialect.
import fc from "fast-check";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { graphToOnnx } from "../../../src/formats/onnx/graph.ts";
import { type Dialect, dialects } from "../../../src/formats/onnx/lowering.ts";
import {
  packCodes,
  type Quantisation,
  quantiseBlocks,
  type StorageOptions,
  transposed,
} from "../../../src/formats/onnx/storage.ts";
import { fromFloat32, toFloat32 } from "../../../src/formats/safetensors/dtype.ts";
import { makeGraph } from "../../../src/graph/graph.ts";
import { input, parameter } from "../../../src/graph/leaves.ts";
import { expertMatmul } from "../../../src/ops/expert-matmul/op.ts";
import { gather } from "../../../src/ops/gather/op.ts";
import { groupRows } from "../../../src/ops/group-rows/op.ts";
import { linear } from "../../../src/ops/matmul/op.ts";
import { generator } from "../../ops/harness.ts";
import { expectClose } from "./check.ts";

process.env.ALLOW_RELEASED_ONNX_OPSET_ONLY = "0";

const types: readonly Quantisation[] = [4, 8].flatMap((bits) =>
  [true, false].map((symmetric) => ({ bits: bits as 4 | 8, block: 32, symmetric })),
);
const nameOf = ({ bits, symmetric }: Quantisation): string => `int${bits}, ${symmetric ? "" : "a"}symmetric`;

/** The numbers that blocks stand for. */
function dequantised(values: Float32Array, type: Quantisation): Float32Array {
  const { codes, scales, zeros } = quantiseBlocks(values, type);
  return values.map((_, i) => {
    const block = Math.floor(i / type.block);
    return (scales[block] ?? 0) * ((codes[i] ?? 0) - (zeros[block] ?? 0));
  });
}

describe("blocks", () => {
  it.each(types)("are within a step of the values, %o", (type) => {
    const values = fc.array(fc.float({ noNaN: true, min: -100, max: 100 }), {
      minLength: 2 * type.block,
      maxLength: 2 * type.block,
    });
    fc.assert(
      fc.property(values, (list) => {
        const data = Float32Array.from(list);
        const { scales } = quantiseBlocks(data, type);
        for (const [i, value] of dequantised(data, type).entries()) {
          const step = Math.abs(scales[Math.floor(i / type.block)] ?? 0);
          // One end of a symmetric block has one step less room.
          expect(Math.abs(value - (data[i] ?? 0))).toBeLessThanOrEqual(step * (1 + 1e-5) + 1e-30);
        }
      }),
    );
  });

  it("of equal numbers have no error", () => {
    for (const type of types)
      for (const value of [0, 1.5, -2]) {
        const data = new Float32Array(type.block).fill(value);
        expect(Array.from(dequantised(data, type))).toEqual(Array.from(data, (x) => expect.closeTo(x, 6)));
      }
  });

  it("pack two codes into a byte, row by row", () => {
    expect([...packCodes(Uint8Array.of(1, 2, 3, 4, 5, 6), 4)]).toEqual([0x21, 0x43, 0x65]);
    expect([...packCodes(Uint8Array.of(1, 2, 3, 4, 5, 6), 4, 3)]).toEqual([0x21, 0x03, 0x54, 0x06]);
    expect([...transposed(Uint8Array.of(1, 2, 3, 4, 5, 6), 2, 3)]).toEqual([1, 4, 2, 5, 3, 6]);
  });
});

const [ROWS, DEPTH, EXPERTS, TOKENS] = [7, 64, 3, 5];

interface Case {
  readonly dialect: Dialect;
  readonly storage: StorageOptions;
  readonly stored: (values: Float32Array) => Float32Array;
  readonly tolerance: number;
}

/** A table that is looked up and multiplied, a matrix that is multiplied, a table that is looked up, and experts. */
async function check({ dialect, storage, stored, tolerance }: Case): Promise<Map<string, number>> {
  const draw = generator(3);
  const fill = (size: number): Float32Array => Float32Array.from({ length: size }, () => 2 * draw() - 1);
  const shapes = { tied: [ROWS, DEPTH], matrix: [ROWS, DEPTH], table: [ROWS, DEPTH], experts: [EXPERTS, ROWS, DEPTH] };
  const weights = new Map(
    Object.entries(shapes).map(([name, shape]) => [name, fill(shape.reduce((a, b) => a * b, 1))]),
  );
  const leaf = (name: keyof typeof shapes) => parameter(name, shapes[name], { kind: "zeros" });
  const [tied, x, ids, choice] = [
    leaf("tied"),
    input("x", ["B", "T", DEPTH]),
    input("ids", ["B", "T"], "i32"),
    input("choice", ["B", "T", 1], "i32"),
  ];
  const { order, starts } = groupRows(choice, EXPERTS);
  const outputs = {
    head: linear(x, tied),
    product: linear(x, leaf("matrix")),
    embedding: gather(tied, ids),
    rows: gather(leaf("table"), ids),
    chosen: expertMatmul(x, leaf("experts"), { indices: choice, order, starts }),
  };
  const graph = makeGraph({ outputs: Object.entries(outputs).map(([name, tensor]) => ({ name, tensor })) });
  const builder = graphToOnnx(graph, {
    dialect,
    storage,
    weight: (name) => weights.get(name) ?? new Float32Array(),
  });
  const session = await InferenceSession.create(builder.encode(), {
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
    // Else onnxruntime rounds the other operand of a product with DequantizeLinear to 8 bits.
    extra: { session: { qdq_matmulnbits_accuracy_level: "1" } },
  });
  const tokens = fill(TOKENS * DEPTH);
  const rows = [3, 0, 6, 3, 1];
  const experts = [2, 0, 0, 2, 1];
  const int64 = (list: readonly number[], dims: number[]) =>
    new OrtTensor("int64", BigInt64Array.from(list, BigInt), dims);
  const actual = await session.run({
    x: new OrtTensor("float32", tokens, [1, TOKENS, DEPTH]),
    ids: int64(rows, [1, TOKENS]),
    choice: int64(experts, [1, TOKENS, 1]),
  });
  await session.release();
  const matrix = (name: string): Float32Array => stored(weights.get(name) ?? new Float32Array());
  const times = (w: Float32Array, first: (token: number) => number): Float32Array =>
    Float32Array.from({ length: TOKENS * ROWS }, (_, i) => {
      const [t, n] = [Math.floor(i / ROWS), i % ROWS];
      let sum = 0;
      for (let k = 0; k < DEPTH; k++) sum += (tokens[t * DEPTH + k] ?? 0) * (w[(first(t) + n) * DEPTH + k] ?? 0);
      return sum;
    });
  const looked = (w: Float32Array): number[] =>
    rows.flatMap((row) => Array.from(w.subarray(row * DEPTH, (row + 1) * DEPTH)));
  const expected = {
    head: times(matrix("tied"), () => 0),
    product: times(matrix("matrix"), () => 0),
    embedding: looked(matrix("tied")),
    rows: looked(matrix("table")),
    chosen: times(matrix("experts"), (t) => (experts[t] ?? 0) * ROWS),
  };
  for (const [name, values] of Object.entries(expected))
    expectClose(name, actual[name]?.data as Float32Array, values, tolerance);
  return new Map(builder.contents(0).map(({ name, size }) => [name, size]));
}

describe.each(dialects)("dialect %s", (dialect) => {
  it.each(types.map((type) => [nameOf(type), type] as const))("computes with %s blocks", async (_, quantise) => {
    const stored = (values: Float32Array): Float32Array => dequantised(values, quantise);
    const sizes = await check({ dialect, storage: { quantise }, stored, tolerance: 1e-5 });
    // Nothing is kept as f32 beside it, and nothing twice.
    const bits = [...sizes.values()].reduce((sum, size) => sum + 8 * size, 0) / ((3 + EXPERTS) * ROWS * DEPTH);
    expect(bits).toBeLessThan(quantise.bits + (quantise.symmetric && dialect !== "onnx" ? 1.1 : 1.6));
  });

  it("computes with f16", async () => {
    const stored = (values: Float32Array): Float32Array => toFloat32(fromFloat32(values, "F16") as Uint16Array, "F16");
    const sizes = await check({ dialect, storage: { dtype: "f16" }, stored, tolerance: 2e-3 });
    expect([...sizes.values()].reduce((sum, size) => sum + size, 0)).toBe(2 * (3 + EXPERTS) * ROWS * DEPTH);
  });

  it("leaves a matrix whose depth is no multiple of the block", async () => {
    const quantise: Quantisation = { bits: 4, block: 128, symmetric: true };
    await check({ dialect, storage: { quantise }, stored: (values) => values, tolerance: 1e-5 });
  });
});
