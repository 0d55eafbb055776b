// Which tensors are zero for tokens that are padding where others are masked, and which tensors are masked. What is said of the
// graphs here is compared with numbers: token 0 is embedded as zeros.
import { describe, expect, it } from "vitest";
import { buildForward } from "../../../src/blocks/model.ts";
import { planPadding } from "../../../src/formats/onnx/padding.ts";
import { prepareGraph } from "../../../src/formats/onnx/prepare.ts";
import * as ex from "../../../src/graph/expression.ts";
import { leafName, makeGraph } from "../../../src/graph/graph.ts";
import type { ConstantAttributes } from "../../../src/graph/leaves.ts";
import { input, parameter } from "../../../src/graph/leaves.ts";
import type { Graph, Node, Tensor } from "../../../src/graph/types.ts";
import { initialiseParameters } from "../../../src/model/initialise.ts";
import { attention } from "../../../src/ops/attention/op.ts";
import { causalConv } from "../../../src/ops/causal-conv/op.ts";
import { concat } from "../../../src/ops/concat/op.ts";
import { gather } from "../../../src/ops/gather/op.ts";
import { linearAttention } from "../../../src/ops/linear-attention/op.ts";
import { add, map, mul, pointwise } from "../../../src/ops/map/op.ts";
import { linear } from "../../../src/ops/matmul/op.ts";
import { computeReference } from "../../../src/ops/references.ts";
import { reshape } from "../../../src/ops/reshape/op.ts";
import { addRmsNorm, rmsNorm } from "../../../src/ops/rms-norm/op.ts";
import { selectiveScan } from "../../../src/ops/selective-scan/op.ts";
import { slice } from "../../../src/ops/slice/op.ts";
import { type HostTensor, required } from "../../../src/ops/types.ts";
import { evaluateGraph } from "../../../src/runtime/reference/runtime.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";
import { bindings, host, leafValue, named } from "../../ops/passes/values.ts";

const matrix = (name: string, rows = 4, columns = 4): Tensor => parameter(name, [rows, columns], { kind: "zeros" });
const vector = (name: string, size = 4): Tensor => parameter(name, [size], { kind: "zeros" });
const graphOf = (...tensors: readonly Tensor[]): Graph =>
  makeGraph({ outputs: tensors.map((tensor, i) => ({ name: `y${i}`, tensor })) });

/** An embedding, and three convolutions that make it worth masking. */
function embedded(): { readonly e: Tensor; readonly convolved: readonly Tensor[] } {
  const e = gather(matrix("table", 5), input("tokens", ["B", "T"], "i32"));
  return { e, convolved: [0, 1, 2].map((i) => causalConv(e, matrix(`conv.${i}`, 4, 3)).output) };
}

const other = input("other", ["B", "T", 4]);
const tokens = [1, 0, 2, 3, 4, 0];
const isPadding = (place: number): boolean => tokens[place] === 0;

/** Leaves as usual, but the second token of the first row and the last of the second are padding, whose embedding is zero. */
function leaf(node: Node): HostTensor {
  if (leafName(node) === "tokens") return host([2, 3], Int32Array.from(tokens));
  const value = leafValue(node);
  return leafName(node) === "table" ? host(value.shape, Float64Array.from(value.data).fill(0, 0, 4)) : value;
}

/** The numbers of the tokens that are padding in [B, T, …]. */
function atPadding(data: ArrayLike<number>): number[] {
  const size = data.length / tokens.length;
  return Array.from(data).filter((_, i) => isPadding(Math.floor(i / size)));
}

const scan = (z: Tensor, u: Tensor): Tensor =>
  selectiveScan(u, other, matrix("A", 4, 2), slice(other, 2, 0, 2), slice(other, 2, 2, 2), { z }).output;
const heads = (x: Tensor): Tensor => reshape(x, ["B", "T", 2, 2]);
const [x, y, zero] = [ex.input(0), ex.input(1), ex.literal(0)];
const eps = 1e-5;

describe("zeros for padding", () => {
  const zeros: Readonly<Record<string, (e: Tensor) => Tensor>> = {
    "a projection": (e) => linear(e, matrix("w", 3)),
    heads,
    "some channels": (e) => slice(e, 2, 1, 2),
    "channels side by side": (e) => concat([e, linear(e, matrix("w"))], 2),
    "a product with anything": (e) => mul(pointwise(other, ex.exp), e),
    "a sum of zeros": (e) => add(e, linear(e, matrix("w"))),
    "the larger of zeros": (e) => map([e, linear(e, matrix("w"))], ex.call("max", x, y)),
    SiLU: (e) => pointwise(e, ex.silu),
    GELU: (e) => pointwise(e, ex.gelu),
    "GELU by tanh": (e) => pointwise(e, ex.geluTanh),
    ReLU: (e) => pointwise(e, ex.relu),
    "a quotient": (e) => map([e, other], ex.div(x, ex.exp(y))),
    "a choice of zeros": (e) => map([other, e], ex.call("where", ex.call("greater", x, zero), y, ex.tanh(y))),
    "a norm": (e) => rmsNorm(e, { eps, weight: vector("norm") }),
    "a norm of a sum of zeros": (e) => addRmsNorm(e, linear(e, matrix("w")), { eps, weight: vector("norm") }).y,
    "the sum before a norm": (e) => addRmsNorm(e, linear(e, matrix("w")), { eps, weight: vector("norm") }).sum,
    "a gate of zero after a norm": (e) => rmsNorm(other, { eps, weight: vector("norm"), gate: e }),
    "a gate of zero before a norm": (e) =>
      rmsNorm(other, { eps, weight: vector("norm"), gate: e, normBeforeGate: false }),
    "a gate of zero without an activation": (e) =>
      rmsNorm(other, { eps, weight: vector("norm"), gate: e, gateActivation: "none" }),
    "a gated scan": (e) => scan(e, other),
  };
  const others: Readonly<Record<string, (e: Tensor) => Tensor>> = {
    "a projection with a bias": (e) => linear(e, matrix("w"), vector("b")),
    "an exponential": (e) => pointwise(e, ex.exp),
    softplus: (e) => pointwise(e, ex.softplus),
    sigmoid: (e) => pointwise(e, ex.sigmoid),
    cosine: (e) => pointwise(e, (a) => ex.call("cos", a)),
    "a sum with something else": (e) => add(e, other),
    "a sum with a weight": (e) => add(e, vector("b")),
    "the larger of a zero and something else": (e) => map([e, other], ex.call("max", x, ex.exp(y))),
    "zero over zero": (e) => map([e, linear(e, matrix("w"))], ex.div(x, y)),
    "something over zero": (e) => map([other, e], ex.div(x, y)),
    "a choice between zero and something else": (e) =>
      map([e, other], ex.call("where", ex.call("greater", x, zero), x, y)),
    "channels beside others": (e) => concat([e, other], 2),
    "a norm of a sum with something else": (e) => addRmsNorm(e, other, { eps, weight: vector("norm") }).y,
    "a norm gated by a sigmoid": (e) =>
      rmsNorm(other, { eps, weight: vector("norm"), gate: e, gateActivation: "sigmoid" }),
    "a scan without a zero gate": (e) => scan(other, e),
    attention: (e) => attention(...([heads(e), heads(e), heads(e)] as const)).output,
    "a convolution": (e) => causalConv(e, matrix("w", 4, 3)).output,
    "a recurrence": (e) => linearAttention("linear", heads(other), heads(e), heads(e)).output,
  };
  const check = (build: (e: Tensor) => Tensor): { readonly said: boolean; readonly values: number[] } => {
    const { e, convolved } = embedded();
    const tensor = build(e);
    const graph = graphOf(tensor, ...convolved);
    const { masked, zero: found } = planPadding(graph);
    expect([...masked]).toEqual([e]);
    const values = evaluateGraph(graph, bindings, leaf);
    return { said: found.has(tensor), values: atPadding(required(values.get(tensor), "values").data) };
  };

  it.each(Object.keys(zeros))("are %s", (name) => {
    const { said, values } = check(required(zeros[name], name));
    expect(values.every((value) => value === 0)).toBe(true);
    expect(values.length).toBeGreaterThan(3);
    expect(said).toBe(true);
  });

  it.each(Object.keys(others))("are not %s", (name) => {
    const { said, values } = check(required(others[name], name));
    expect(values.some((value) => value !== 0)).toBe(true);
    expect(said).toBe(false);
  });

  it("are no tensors whose second axis is not time", () => {
    const { e, convolved } = embedded();
    const last = slice(e, 1, -1, 1);
    expect(planPadding(graphOf(last, ...convolved)).zero.has(last)).toBe(false);
  });
});

describe("what is masked", () => {
  const convolve = (from: Tensor, name: string): Tensor => causalConv(from, matrix(name, 4, 3)).output;
  const attend = (from: Tensor): Tensor => attention(heads(from), heads(from), heads(from)).output;
  const attended = (from: Tensor, name: string): Tensor =>
    add(from, linear(reshape(attend(from), ["B", "T", 4]), matrix(name)));

  it("is nothing where one convolution reads the embedding, which masks what it reads itself", () => {
    const { e } = embedded();
    expect([...planPadding(graphOf(convolve(e, "c"))).masked]).toEqual([]);
  });

  it("is the embedding where several do", () => {
    const { e } = embedded();
    expect([...planPadding(graphOf(convolve(e, "a"), convolve(e, "b"))).masked]).toEqual([e]);
  });

  it("is the embedding and what attention gives where convolutions come after it", () => {
    const { e } = embedded();
    const stream = attended(e, "out");
    const graph = graphOf(...["a", "b", "c"].map((name) => convolve(stream, name)));
    const seen = graph.nodes.find(({ op }) => op.name === "attention")?.outputs[0];
    expect([...planPadding(graph).masked]).toEqual([e, seen]);
  });

  it("is not what attention gives where too few convolutions come after it, or none", () => {
    const { e, convolved } = embedded();
    const stream = attended(e, "out");
    expect([...planPadding(graphOf(stream, ...convolved)).masked]).toEqual([e]);
    expect([...planPadding(graphOf(...convolved, convolve(stream, "late"))).masked]).toEqual([e]);
  });

  it("is nothing where biases keep zeros from all convolutions", () => {
    const { e } = embedded();
    const stream = linear(e, matrix("w"), vector("bias"));
    expect([...planPadding(graphOf(convolve(stream, "a"), convolve(stream, "b"))).masked]).toEqual([]);
  });

  const projected = (name: string): Tensor => linear(other, matrix(name, 2, 4), vector(`${name}.bias`, 2));
  const deep = (step: Tensor): Tensor => reshape(step, ["B", "T", 2, 1]);
  it("is the step size of a recurrence, which its decay and what it writes depend on", () => {
    const step = pointwise(projected("step"), ex.softplus);
    const decay = mul(step, vector("rate", 2));
    const { output } = linearAttention("gated", heads(other), heads(other), mul(heads(other), deep(step)), { decay });
    const { masked, zero: found } = planPadding(graphOf(output));
    expect([...masked]).toEqual([step]);
    expect(found.has(decay)).toBe(true);
  });

  it("is nothing of a recurrence whose decay has a source of its own, or that has none", () => {
    const decay = map([projected("decay")], ex.neg(ex.softplus(x)));
    const writes = mul(heads(other), deep(projected("step")));
    const gated = linearAttention("gated", heads(other), heads(other), writes, { decay });
    const plain = linearAttention("linear", heads(other), heads(other), writes);
    expect([...planPadding(graphOf(gated.output, plain.output)).masked]).toEqual([]);
  });
});

describe("whole models", () => {
  it.each(["mamba", "mamba2", "nemotron-h", "falcon-h1", "bamba", "zamba2", "lfm2"])(
    "have zeros where %s is said to, when what is to be masked is",
    (name) => {
      const spec = loadSpecFile(`architectures/${name}.yaml`);
      const forward = buildForward(spec, { stateful: true });
      const weights = initialiseParameters(forward, 1);
      const { graph, weight } = prepareGraph(forward, (of) => required(weights.get(of), of));
      const { masked, zero: found } = planPadding(graph);
      const values = new Map<Tensor, HostTensor>();
      for (const node of graph.nodes) {
        const inputs = node.inputs.map((tensor) => tensor && values.get(tensor));
        const attributes = node.op.bind?.(node.attributes, bindings) ?? node.attributes;
        const results = node.op.leaf === undefined ? computeReference(node, inputs, attributes) : [leafOf(node)];
        for (const [i, output] of node.outputs.entries()) {
          const result = results[i];
          if (result === undefined) continue;
          const size = result.data.length / tokens.length;
          if (masked.has(output))
            for (const place of tokens.keys())
              if (isPadding(place)) result.data.fill(0, place * size, (place + 1) * size);
          values.set(output, result);
          if (found.has(output)) expect(atPadding(result.data).find((value) => value !== 0)).toBeUndefined();
        }
      }
      expect(found.size).toBeGreaterThan(masked.size);

      function leafOf(node: Node): HostTensor {
        if (node.op.leaf === "constant") {
          const { shape, dtype, values: numbers } = node.attributes as ConstantAttributes;
          return host(shape, dtype === "i32" ? Int32Array.from(numbers) : Float64Array.from(numbers));
        }
        const value = leafValue(node);
        if (node.op.leaf !== "parameter") return value.dtype === "i32" ? host(value.shape, value.data) : value;
        const stored = weight(leafName(node));
        if (stored instanceof Promise) throw new Error("weights are in memory");
        const noise = named(leafName(node), stored.length);
        // Biases that begin as zeros must not stay so.
        return host(
          value.shape,
          Float64Array.from(stored, (w, i) => w + 0.1 * (noise[i] ?? 0)),
        );
      }
    },
  );
});
