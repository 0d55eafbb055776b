// Which parameters decay: matrices and embeddings do; norms, biases, A_log, D, dt_bias and every other vector do not.
import { readdirSync } from "node:fs";
import { expect, it } from "vitest";
import { parameterAttributes } from "../../src/graph/graph.ts";
import { loadSpecFile } from "../../src/spec/node/files.ts";
import { buildUpdate } from "../../src/train/step.ts";

const files = readdirSync("architectures").filter((name) => name.endsWith(".yaml"));
const weightDecay = 0.1;

/** Parameters of an architecture by whether the update of each decays it. */
function groups(file: string): { decayed: string[]; kept: string[]; vectors: string[] } {
  const graph = buildUpdate(loadSpecFile(`architectures/${file}`), { betas: [0.9, 0.95], eps: 1e-8, weightDecay });
  const found = { decayed: [] as string[], kept: [] as string[], vectors: [] as string[] };
  for (const { op, inputs, attributes } of graph.nodes) {
    const [parameter] = inputs;
    if (op.name !== "adamw" || parameter === undefined) continue;
    const rate = (attributes as { readonly weightDecay: number }).weightDecay;
    expect([0, weightDecay]).toContain(rate);
    const name = parameterAttributes(parameter).name;
    (rate === 0 ? found.kept : found.decayed).push(name);
    if (parameter.shape.length === 1) found.vectors.push(name);
  }
  return found;
}

it.each(files)("%s", (file) => {
  const { decayed, kept, vectors } = groups(file);
  expect(decayed.filter((name) => /norm|bias|A_log|A_imag|log_dt|\.D$|sink/.test(name))).toEqual([]);
  expect(vectors.filter((name) => decayed.includes(name))).toEqual([]);
  expect(decayed).toContain("embedding.weight");
  expect(kept.filter((name) => /(proj\w*|embedding)(\.\d+)?\.weight$/.test(name))).toEqual([]);
});
