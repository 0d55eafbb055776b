// Every architecture file with weights that matter, for tests that run whole models.
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { buildForward } from "../../src/blocks/model.ts";
import { initialiseParameters } from "../../src/model/initialise.ts";
import type { ArchitectureSpec } from "../../src/spec/types.ts";
import { generator } from "../ops/harness.ts";

export const folder = fileURLToPath(new URL("../../architectures/", import.meta.url));
export const files = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
export const LENGTH = 37;

/** S4D computes by FFT when it has no state and by recurrence when it has: the two agree to 1e-4. */
export const toleranceOf = (spec: ArchitectureSpec): number =>
  spec.layers.some((layer) => layer.branches.some((b) => b.operator.type === "s4d")) ? 1e-4 : 2e-5;

export function closeTo(actual: Float32Array, expected: Float32Array, tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  const scale = expected.reduce((m, x) => Math.max(m, Math.abs(x)), 1);
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? 0)) / scale;
    if (!(error <= worst)) worst = error;
  }
  expect(worst).toBeLessThanOrEqual(tolerance);
}

/** Initial weights, made larger than at the start of training so that every part matters. */
export function lively(spec: ArchitectureSpec): Map<string, Float32Array> {
  const draw = generator(3);
  const weights = initialiseParameters(buildForward(spec, { stateful: true }), 1);
  for (const [name, values] of weights) {
    if (/A_log|dt_|log_dt|A_imag/.test(name)) continue;
    weights.set(
      name,
      values.map((value) => 3 * value + 0.1 * (draw() - 0.5)),
    );
  }
  return weights;
}
