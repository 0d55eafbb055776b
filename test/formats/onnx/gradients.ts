// Expects the gradients that onnxruntime computes from a differentiated ONNX graph to be those of our own gradient graphs, by the
// references.
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { OnnxBuilder } from "../../../src/formats/onnx/builder.ts";
import { emitGraph } from "../../../src/formats/onnx/emit.ts";
import { differentiateOnnx } from "../../../src/formats/onnx/gradient/differentiate.ts";
import type { Value } from "../../../src/formats/onnx/lowering.ts";
import * as ex from "../../../src/graph/expression.ts";
import { makeGraph } from "../../../src/graph/graph.ts";
import { input, scalar } from "../../../src/graph/leaves.ts";
import { bindShape, type Dim, type Shape, sizeOf } from "../../../src/graph/shape.ts";
import type { NamedTensor, Tensor } from "../../../src/graph/types.ts";
import { differentiate } from "../../../src/ops/gradients.ts";
import { add, map } from "../../../src/ops/map/op.ts";
import { reduce } from "../../../src/ops/reduce/op.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { HostArray } from "../../../src/runtime/types.ts";
import { generator } from "../../ops/harness.ts";
import { type CheckedLeaf, expectClose } from "./check.ts";

export interface GradientCheck {
  /** All have gradients but ids and weights, which here are numbers that nothing learns. */
  readonly leaves: Readonly<Record<string, CheckedLeaf>>;
  readonly build: (leaves: (name: string) => Tensor) => Readonly<Record<string, Tensor>>;
  readonly sizes?: readonly (readonly [number, number])[];
  readonly tolerance?: number;
}

/** The gradients of the sum of all outputs, each element weighted by a number of its own, with respect to leaves. */
export async function checkGradients({ leaves, build, sizes, tolerance = 1e-4 }: GradientCheck): Promise<void> {
  const draw = generator(17);
  const fill = (shape: readonly number[], { range: [low, high] = [-1, 1], ids }: CheckedLeaf): HostArray => {
    const next = (): number => low + (high - low) * draw();
    if (ids) return Int32Array.from({ length: sizeOf(shape) }, () => Math.floor(next()));
    return Float32Array.from({ length: sizeOf(shape) }, next);
  };
  const tensors = new Map<string, Tensor>();
  for (const [name, { shape, ids }] of Object.entries(leaves))
    tensors.set(name, input(name, shape, ids ? "i32" : "f32"));
  const found = (name: string): Tensor => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`no leaf ${name}`);
    return tensor;
  };
  const weighted = Object.entries(build(found)).map(([name, tensor]) => {
    const weights = input(`weights.${name}`, tensor.shape);
    tensors.set(`weights.${name}`, weights);
    return reduce(map([tensor, weights], ex.mul(ex.input(0), ex.input(1))), "sum");
  });
  const loss = weighted.reduce((a, b) => add(a, b));
  const wanted = Object.keys(leaves).filter((name) => !leaves[name]?.ids && !leaves[name]?.weight);
  const ours = differentiate([{ tensor: loss, gradient: scalar(1) }], wanted.map(found));
  const outputs: NamedTensor[] = [
    { name: "loss", tensor: loss },
    ...wanted.flatMap((name, i) => (ours[i] === undefined ? [] : [{ name, tensor: ours[i] }])),
  ];

  const forward = makeGraph({ outputs: [{ name: "loss", tensor: loss }] });
  const builder = new OnnxBuilder("portable");
  const values = new Map<Tensor, Value>();
  const symbols = new Map<Dim, { readonly value: Value; readonly axis: number }>();
  for (const { name, tensor } of forward.inputs) {
    const value = builder.input(name, tensor.dtype, tensor.shape);
    values.set(tensor, value);
    for (const [axis, dim] of tensor.shape.entries()) if (typeof dim === "string") symbols.set(dim, { value, axis });
  }
  const weight = (): Float32Array => new Float32Array();
  const emitted = emitGraph(forward, builder, { dialect: "portable", weight, leaves: values, symbols });
  const gradients = differentiateOnnx(builder, emitted(loss), wanted);
  builder.output("loss", emitted(loss), "f32", []);
  for (const [i, name] of wanted.entries())
    builder.output(`grad.${name}`, gradients[i] ?? "", "f32", found(name).shape);

  const session = await InferenceSession.create(builder.encode(), { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const runtime = createReferenceRuntime();
  for (const [B, T] of sizes ?? [[2, 5] as const, [1, 1] as const, [3, 70] as const]) {
    const bindings = { B, T, C: 1 };
    const graph = makeGraph({ outputs });
    const dims = (shape: Shape): number[] => bindShape(shape, bindings);
    const feed: Record<string, HostArray> = {};
    for (const { name, tensor } of forward.inputs) feed[name] = fill(dims(tensor.shape), leaves[name] ?? { shape: [] });
    const program = await runtime.compile(graph, { bindings, buffers: new Map() });
    const read = new Set(graph.inputs.map(({ name }) => name));
    const expected = await program.run(Object.fromEntries(Object.entries(feed).filter(([name]) => read.has(name))));
    program.free();
    const actual = await session.run(
      Object.fromEntries(
        forward.inputs.map(({ name, tensor }) => {
          const data = feed[name];
          if (data instanceof Float32Array) return [name, new OrtTensor("float32", data, dims(tensor.shape))];
          return [name, new OrtTensor("int64", BigInt64Array.from(data ?? [], BigInt), dims(tensor.shape))];
        }),
      ),
    );
    for (const name of wanted) {
      const label = `gradient of ${name} at B = ${B}, T = ${T}`;
      const shape = dims(found(name).shape);
      const zeros = new Float32Array(sizeOf(shape));
      expectClose(label, actual[`grad.${name}`]?.data as Float32Array, expected[name] ?? zeros, tolerance);
    }
  }
  await runtime.close();
  await session.release();
}
