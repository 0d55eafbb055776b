// The rules that every exported file keeps: read from its bytes, so that nothing is taken for granted that the builder believes, and
// seen in onnxruntime.
import onnxProto from "onnx-proto";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { expect } from "vitest";
import { type Dialect, dialectFacts } from "../../../src/formats/onnx/lowering.ts";
import type { OnnxModel } from "../../../src/formats/onnx/model.ts";
import { dimensions } from "../../../src/formats/onnx/states.ts";
import { bindShape } from "../../../src/graph/shape.ts";

const { ModelProto } = onnxProto.onnx;

/** Operators with a body, or whose work grows with a sequence that they walk; where they may be. */
const loops: Readonly<Record<string, readonly Dialect[]>> = { Loop: [], If: [], Scan: ["scan"] };

/** Operators of opset 17 that files of primitives are made of. */
const primitives = new Set(
  `Abs Add And Cast Clip Concat ConstantOfShape Conv Cos CumSum Div Equal Erf Exp Expand GRU Gather GatherElements GatherND Gemm
  Greater GreaterOrEqual Identity Less LessOrEqual Log LogSoftmax MatMul Max Min Mod Mul Neg NonZero Not Or Pad Pow Range Reciprocal
  ReduceMax ReduceMean ReduceSum ReduceSumSquare Relu Reshape ScatterElements ScatterND Shape Sigmoid Sin Slice Softmax Softplus
  Split Sqrt Squeeze Sub Sum Tanh TopK Transpose Unsqueeze Where`.split(/\s+/),
);
/** What the standard has gained since, and is used in its dialect. */
const fused = [
  "Attention",
  "CausalConvWithState",
  "LayerNormalization",
  "LinearAttention",
  "RMSNormalization",
  "RotaryEmbedding",
];
/** onnxruntime has this one in the domain of the standard operators. */
const ownInStandard = ["LayerNormalization", "SimplifiedLayerNormalization"];

function isAllowed(dialect: Dialect, op: string, domain: string): boolean {
  if (loops[op] !== undefined) return loops[op].includes(dialect);
  if (domain !== "") return domain === "com.microsoft" && dialect === "ort";
  const more = dialect === "onnx" ? fused : dialect === "ort" ? ownInStandard : [];
  return primitives.has(op) || more.includes(op);
}

const names = (values: readonly { readonly name?: string | null }[] | null | undefined): string[] =>
  (values ?? []).map(({ name }) => name ?? "");

/** The graphs that a node walks a sequence with. */
const bodiesOf = ({ attribute }: onnxProto.onnx.INodeProto): onnxProto.onnx.IGraphProto[] =>
  (attribute ?? []).flatMap(({ g }) => g ?? []);

/** Nodes and those in their bodies. */
const withInner = (nodes: readonly onnxProto.onnx.INodeProto[]): readonly onnxProto.onnx.INodeProto[] =>
  nodes.flatMap((node) => [node, ...bodiesOf(node).flatMap((body) => withInner(body.node ?? []))]);

/** What a body reads of the graph around it. */
function readOutside({ input, output, node }: onnxProto.onnx.IGraphProto): string[] {
  const own = new Set([...names(input), ...(node ?? []).flatMap((inner) => inner.output ?? [])]);
  const read = [...(node ?? []).flatMap((inner) => inner.input ?? []), ...names(output)];
  return read.filter((value) => !own.has(value));
}

/**
 * Expects only operators of the model's dialect; opset imports for exactly the domains in use; every value made before it is read
 * and made once; and no stored tensor that nothing reads.
 */
export function checkDialect({ builder, encode }: Pick<OnnxModel, "builder" | "encode">): void {
  const { dialect } = builder;
  const model = ModelProto.decode(encode());
  const graph = model.graph ?? {};
  const nodes = graph.node ?? [];
  const all = withInner(nodes);
  const wrong = all
    .filter(({ opType, domain }) => !isAllowed(dialect, opType ?? "", domain ?? ""))
    .map(({ name, opType, domain }) => `${name} ${domain}:${opType}`);
  expect(wrong, `operators of ${dialect}`).toEqual([]);

  const domains = [...new Set(all.map(({ domain }) => domain ?? ""))].sort();
  const imports = (model.opsetImport ?? []).map(({ domain, version }) => [domain ?? "", Number(version)] as const);
  expect(imports.map(([domain]) => domain).sort()).toEqual(domains);
  for (const [domain, version] of imports) expect(version).toBe(domain === "" ? dialectFacts[dialect].opset : 1);

  const stored = names(graph.initializer);
  const made = new Set([...names(graph.input), ...stored]);
  expect(made.size, "names of inputs and stored tensors").toBe((graph.input ?? []).length + stored.length);
  const read = new Set<string>();
  const early: string[] = [];
  const twice: string[] = [];
  for (const node of nodes) {
    for (const value of [...(node.input ?? []), ...bodiesOf(node).flatMap(readOutside)]) {
      if (value === "") continue;
      read.add(value);
      if (!made.has(value)) early.push(`${node.name} reads ${value}`);
    }
    for (const value of node.output ?? []) {
      if (value !== "" && made.has(value)) twice.push(value);
      made.add(value);
    }
  }
  expect(early, "values read before they are made").toEqual([]);
  expect(twice, "values made twice").toEqual([]);
  expect(new Set(names(all)).size, "names of nodes").toBe(all.length);
  expect(
    names(graph.output).filter((name) => !made.has(name)),
    "outputs that nothing makes",
  ).toEqual([]);
  expect(
    stored.filter((name) => !read.has(name)),
    "stored tensors that nothing reads",
  ).toEqual([]);
  expect(
    names(graph.input).filter((name) => !read.has(name)),
    "inputs that nothing reads",
  ).toEqual([]);
}

/**
 * Expects every tensor of the model's graph to have its shape in onnxruntime, at two sizes of batch and time, of which one is more
 * than a chunk of a recurrence. The model has an output for each of them afterwards.
 */
export async function checkShapes({ builder, graph, emitted, encode }: OnnxModel): Promise<void> {
  const tensors = graph.nodes
    .filter(({ op }) => op.leaf === undefined)
    .flatMap(({ outputs }) => outputs)
    // Caches are as long as all calls so far, and chunks are no axis of an ONNX graph.
    .filter(({ shape }) => shape.every((dim) => typeof dim === "number" || dim === "B" || dim === "T"))
    .flatMap((tensor) => {
      try {
        return [{ tensor, value: emitted(tensor) }];
      } catch {
        // What only a backward pass reads has no value.
        return [];
      }
    });
  expect(tensors.length).toBeGreaterThan(5);
  const symbols: Readonly<Record<string, string>> = { B: dimensions.batch, T: dimensions.sequence };
  for (const [i, { tensor, value }] of tensors.entries())
    builder.output(
      `tensor.${i}`,
      value,
      tensor.dtype,
      tensor.shape.map((dim) => symbols[dim] ?? dim),
    );
  const session = await InferenceSession.create(encode(), { graphOptimizationLevel: "disabled", logSeverityLevel: 3 });
  for (const [B, T] of [[2, 3] as const, [1, 70] as const]) {
    const sizes: Readonly<Record<string, number>> = {
      [dimensions.batch]: B,
      [dimensions.sequence]: T,
      [dimensions.total]: T,
      [dimensions.past]: 0,
    };
    const feed = Object.fromEntries(
      session.inputMetadata.map(({ name, ...rest }) => {
        const { type, shape } = rest as { type: string; shape: readonly (string | number)[] };
        const dims = shape.map((dim) => (typeof dim === "number" ? dim : sizeOfSymbol(dim)));
        const size = dims.reduce((product, dim) => product * dim, 1);
        if (type === "float32") return [name, new Tensor("float32", new Float32Array(size), dims)];
        return [name, new Tensor("int64", new BigInt64Array(size).fill(name === "attention_mask" ? 1n : 0n), dims)];
      }),
    );
    const results = await session.run(feed);
    const found = tensors.map((_, i) => results[`tensor.${i}`]?.dims);
    expect(found).toEqual(tensors.map(({ tensor }) => bindShape(tensor.shape, { B, T, C: 1 })));

    function sizeOfSymbol(dim: string): number {
      const size = sizes[dim];
      if (size === undefined) throw new Error(`an input has an axis of ${dim}`);
      return size;
    }
  }
  await session.release();
}
