// Every family against transformers, in onnxruntime: a random checkpoint, exported in each dialect, computes the same logits. The
// names of these tests are columns of docs/features.md.
import { describe, expect, it } from "vitest";
import { buildForward } from "../../../src/blocks/model.ts";
import { dialects, present } from "../../../src/formats/onnx/lowering.ts";
import { buildOnnxModel } from "../../../src/formats/onnx/model.ts";
import { OnnxRun } from "../onnx/session.ts";
import { cases, largestError, openCase, rowsOf } from "./cases.ts";

describe.each(cases)("%s", (name) => {
  it.each(dialects)("onnx_%s: the logits of transformers in onnxruntime", async (dialect) => {
    const one = await openCase(name);
    try {
      const { spec } = one.imported;
      const weights = new Map<string, Float32Array>();
      for (const { name: weight } of buildForward(spec, { stateful: true }).parameters)
        weights.set(weight, present(await one.imported.get(weight), weight));
      const exported = buildOnnxModel(spec, (weight) => present(weights.get(weight), weight), { dialect });
      const run = await OnnxRun.open(exported, one.batch);
      const logits = await run.forward(rowsOf(one));
      await run.close();
      expect(largestError(logits, one.logits)).toBeLessThanOrEqual(3 * one.meta.tolerance.logits_atol);
    } finally {
      await one.close();
    }
  });
});
