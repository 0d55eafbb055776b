// Values as halves: what layers hand to each other is rounded, states, sums and results are not. Needs shader-f16, which
// the software GPU that the tests bring along lacks: elsewhere it runs.
import { describe, expect, it } from "vitest";
import { buildForward } from "../../../src/blocks/model.ts";
import { plan } from "../../../src/graph/plan.ts";
import { createModel } from "../../../src/model/create.ts";
import { optimise } from "../../../src/ops/passes/optimise.ts";
import { halfRequests } from "../../../src/runtime/webgpu/activations.ts";
import { createWebGpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";
import { buildGradients } from "../../../src/train/step.ts";
import { closeTo, folder, lively } from "../../model/lively.ts";

const bindings = { B: 1, T: 8, C: 64 };
const hasHalves = await createWebGpuRuntime({ adapter: "software" }).then(async (runtime) => {
  const had = await createWebGpuRuntime({ adapter: "software", activations: "f16" }).then(
    (halves) => halves.close().then(() => true),
    () => false,
  );
  await runtime.close();
  return had;
});

describe("which values are halves", () => {
  it.each(["quickstart", "mamba2", "gated-delta", "samba", "mixtral"])(
    "in %s: some, but no state, sum, decay or result",
    (name) => {
      const graph = optimise(buildForward(loadSpecFile(`${folder}${name}.yaml`), { stateful: true }));
      const layout = plan(graph, bindings);
      const halves = halfRequests(graph, layout);
      expect(halves.size).toBeGreaterThan(3);
      const isHalf = (tensor: Parameters<typeof layout.storage.get>[0] | undefined): boolean => {
        const place = tensor && layout.storage.get(tensor);
        return place?.kind === "arena" && halves.has(place.request);
      };
      for (const { tensor } of graph.outputs) expect(isHalf(tensor)).toBe(false);
      for (const { output } of graph.states) expect(isHalf(output)).toBe(false);
      for (const { op, inputs, outputs } of graph.nodes) {
        if (op.name === "rms_norm") expect(isHalf(outputs[1])).toBe(false);
        if (op.name === "top_k") expect(isHalf(inputs[0]) || isHalf(outputs[0])).toBe(false);
        if (op.name === "selective_scan") expect(isHalf(inputs[1])).toBe(false);
        if (op.name === "linear_attention") expect(isHalf(inputs[3]) || isHalf(inputs[4])).toBe(false);
      }
    },
  );

  it("none in a program with gradients", () => {
    const spec = loadSpecFile(`${folder}quickstart.yaml`);
    const graph = buildGradients(spec, { checkpointing: false, accumulate: false, microBatches: 1 });
    expect(halfRequests(graph, plan(graph, bindings)).size).toBe(0);
  });
});

describe.skipIf(!hasHalves)("with halves", () => {
  it.each(["quickstart", "mamba2", "gated-delta", "mixtral"])(
    "%s has the logits of f32 to 2%, in one pass and step by step",
    async (name) => {
      const spec = loadSpecFile(`${folder}${name}.yaml`);
      const weights = lively(spec);
      const tokens = Array.from({ length: 40 }, (_, i) => (i * 31) % spec.vocab_size);
      const exact = await createModel(spec, { device: "webgpu:software", weights });
      const runtime = await createWebGpuRuntime({ adapter: "software", activations: "f16" });
      const halves = await createModel(spec, { runtime, weights, weightStorage: "f16" });
      const expected = (await exact.forward(tokens)).logits;
      closeTo((await halves.forward(tokens)).logits, expected, 0.02);
      const state = halves.createState();
      for (const [t, token] of tokens.slice(0, 5).entries()) {
        const { logits } = await halves.forward([token], { state });
        closeTo(logits, expected.subarray(t * spec.vocab_size, (t + 1) * spec.vocab_size), 0.02);
      }
      await exact.close();
      await halves.close();
      await runtime.close();
    },
  );
});
