// The rules that every exported file keeps: read from its bytes, so that nothing is taken for granted that the builder believes.
import onnxProto, { type onnx } from "onnx-proto";
import { expect } from "vitest";
import { type Dialect, dialectFacts } from "../../../src/formats/onnx/lowering.ts";
import type { OnnxModel } from "../../../src/formats/onnx/model.ts";

const { ModelProto } = onnxProto.onnx;

/** Operators with a body, or whose work grows with a sequence that they walk; where they may be. */
const loops: Readonly<Record<string, readonly Dialect[]>> = { Loop: [], If: [], Scan: ["scan"] };

/** Operators of opset 17 that files of primitives are made of. */
const primitives = new Set(
  `Abs Add And Cast Clip Concat ConstantOfShape Conv Cos CumSum Div Equal Erf Exp Expand GRU Gather GatherElements GatherND Gemm Greater GreaterOrEqual
  Identity Less LessOrEqual Log LogSoftmax MatMul Max Min Mod Mul Neg NonZero Not Or Pad Pow Range Reciprocal ReduceMax ReduceMean ReduceSum
  ReduceSumSquare Relu Reshape ScatterElements ScatterND Shape Sigmoid Sin Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh TopK
  Transpose Unsqueeze Where`.split(/\s+/),
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

/** Nodes and those in their bodies. */
const withInner = (nodes: readonly onnx.INodeProto[]): readonly onnx.INodeProto[] =>
  nodes.flatMap((node) => [node, ...(node.attribute ?? []).flatMap(({ g }) => withInner(g?.node ?? []))]);

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

  const names = (values: readonly { readonly name?: string | null }[] | null | undefined): string[] =>
    (values ?? []).map(({ name }) => name ?? "");
  const stored = names(graph.initializer);
  const made = new Set([...names(graph.input), ...stored]);
  expect(made.size, "names of inputs and stored tensors").toBe((graph.input ?? []).length + stored.length);
  // Bodies read values of the graph around them.
  const read = new Set(all.flatMap((node) => node.input ?? []));
  const early: string[] = [];
  const twice: string[] = [];
  for (const node of nodes) {
    for (const value of node.input ?? []) {
      if (value === "") continue;
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
