// Scans over time have nodes for so many tokens. What has more is refused by onnxruntime, however it shares its memory, and never gives
// wrong numbers; forms that know no such limit go on giving the right ones.
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { afterAll, describe, expect, it } from "vitest";
import { graphToOnnx } from "../../../src/formats/onnx/graph.ts";
import { adviceOn } from "../../../src/formats/onnx/node/advice.ts";
import { leafName, makeGraph } from "../../../src/graph/graph.ts";
import { input, parameter } from "../../../src/graph/leaves.ts";
import { bindShape, type Shape, sizeOf } from "../../../src/graph/shape.ts";
import type { Tensor } from "../../../src/graph/types.ts";
import { diagonalScan } from "../../../src/ops/diagonal-scan/op.ts";
import { linearAttention, type UpdateRule } from "../../../src/ops/linear-attention/op.ts";
import { longConvolution } from "../../../src/ops/long-convolution/op.ts";
import { add } from "../../../src/ops/map/op.ts";
import { rgLru } from "../../../src/ops/rg-lru/op.ts";
import { s4dKernel } from "../../../src/ops/s4d-kernel/op.ts";
import { selectiveScan } from "../../../src/ops/selective-scan/op.ts";
import { required } from "../../../src/ops/types.ts";
import { wkv } from "../../../src/ops/wkv/op.ts";
import { evaluateGraph } from "../../../src/runtime/reference/runtime.ts";
import { host, named } from "../../ops/passes/values.ts";
import { expectClose } from "./check.ts";

const LONGEST = 7;
const lengths = [1, 2, 6, 7, 8, 14, 31, 63, 150, 600];

const sequence = (name: string, ...rest: readonly number[]): Tensor => input(name, ["B", "T", ...rest]);
const weight = (name: string, ...shape: readonly number[]): Tensor => parameter(name, shape, { kind: "zeros" });
const parameters = (): Parameters<typeof diagonalScan>[1] => ({
  logDt: weight("log_dt", 3),
  aLogReal: weight("A_log", 3, 4),
  aImag: weight("A_imag", 3, 4),
  c: weight("C", 3, 4, 2),
});
const discretization = "zoh";
/** Decays are negative, so that states stay small. */
const attend = (rule: UpdateRule, gates: { readonly decay?: Tensor; readonly beta?: Tensor }): Tensor =>
  linearAttention(rule, sequence("q", 2, 4), sequence("k", 2, 4), sequence("v", 2, 4), { ...gates, scale: 0.25 })
    .output;

const bounded: Readonly<Record<string, () => Tensor>> = {
  selective_scan: () =>
    selectiveScan(sequence("u", 3), sequence("delta", 3), weight("decay.A", 3, 2), sequence("b", 2), sequence("c", 2))
      .output,
  rg_lru: () => rgLru(sequence("x", 3), sequence("decay", 3)).output,
  wkv: () => wkv(sequence("k", 3), sequence("v", 3), weight("decay.w", 3), weight("u", 3)).output,
  diagonal_scan: () => diagonalScan(sequence("u", 3), parameters(), { discretization }).output,
  // Its kernel is too short then, so that what comes out does not fit what it is added to.
  "long_convolution in a residual block": () => {
    const u = sequence("u", 3);
    return add(longConvolution(u, s4dKernel(parameters(), { discretization, length: "T" })), u);
  },
  "linear_attention with a decay for each key": () => attend("gated", { decay: sequence("decay", 2, 4) }),
  "linear_attention with the delta rule": () =>
    attend("gated_delta", { decay: sequence("decay", 2), beta: sequence("beta", 2) }),
};
const unbounded: Readonly<Record<string, () => Tensor>> = {
  "linear_attention without decay": () => attend("linear", {}),
  "linear_attention with a decay for each head": () => attend("gated", { decay: sequence("decay", 2) }),
};

const numbersOf = (name: string, shape: readonly number[]): Float32Array =>
  Float32Array.from(named(name, sizeOf(shape)), (x) => (name.startsWith("decay") ? -Math.abs(x) : x / 2));

interface Outcome {
  readonly right: readonly number[];
  readonly refused: readonly number[];
}

const sessions: InferenceSession[] = [];
afterAll(async () => {
  for (const session of sessions) await session.release();
});

/** Which lengths are computed, as the references do, and which are refused, with advice. */
async function outcomeOf(tensor: Tensor, options: InferenceSession.SessionOptions): Promise<Outcome> {
  const graph = makeGraph({ outputs: [{ name: "y", tensor }] });
  const stored = new Map(graph.parameters.map(({ name, tensor: { shape } }) => [name, shape as readonly number[]]));
  const builder = graphToOnnx(graph, {
    dialect: "portable",
    longest: LONGEST,
    weight: (name) => numbersOf(name, required(stored.get(name), name)),
  });
  const quiet = { logSeverityLevel: 4 } as const;
  const session = await InferenceSession.create(builder.encode(), { ...options, ...quiet, intraOpNumThreads: 1 });
  sessions.push(session);
  const [right, refused]: [number[], number[]] = [[], []];
  for (const T of lengths) {
    const bindings = { B: 2, T, C: 1 };
    const dims = (shape: Shape): number[] => [...bindShape(shape, bindings)];
    const feed = Object.fromEntries(
      graph.inputs.map(({ name, tensor: { shape } }) => [
        name,
        new OrtTensor("float32", numbersOf(name, dims(shape)), dims(shape)),
      ]),
    );
    let actual: InferenceSession.OnnxValueMapType;
    try {
      actual = await session.run(feed, quiet);
    } catch (error) {
      expect(adviceOn((error as Error).message), (error as Error).message).toMatch(/more tokens than .*131,071/);
      refused.push(T);
      continue;
    }
    const values = evaluateGraph(graph, bindings, (node) => {
      const shape = dims(required(node.outputs[0], "leaf").shape);
      return host(shape, Float64Array.from(numbersOf(leafName(node), shape)));
    });
    const y = required(actual.y, "y") as OrtTensor;
    expectClose(`T = ${T}`, y.data as Float32Array, required(values.get(tensor), "y").data, 1e-4);
    right.push(T);
  }
  return { right, refused };
}

describe.each<{ how: string; options: InferenceSession.SessionOptions }>([
  { how: "as it does by default", options: {} },
  { how: "without sharing memory", options: { enableMemPattern: false, enableCpuMemArena: false } },
  { how: "without optimisation", options: { graphOptimizationLevel: "disabled" } },
])("onnxruntime, $how,", ({ options }) => {
  it.each(Object.keys(bounded))("refuses a sequence that is too long for %s", async (name) => {
    const { right, refused } = await outcomeOf(required(bounded[name], name)(), options);
    expect(right).toEqual(expect.arrayContaining(lengths.filter((T) => T <= LONGEST)));
    expect(refused).toContain(600);
  });

  it.each(Object.keys(unbounded))("computes any for %s", async (name) => {
    expect((await outcomeOf(required(unbounded[name], name)(), options)).right).toEqual(lengths);
  });
});
