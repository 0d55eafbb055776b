// What docs/spec.md shows is true.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { formatDiagnostics } from "../../src/spec/diagnostic.ts";
import { checkSpec, loadSpec } from "../../src/spec/load.ts";
import { loadSpecFile } from "../../src/spec/node/files.ts";

const page = readFileSync("docs/spec.md", "utf8");
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, "g"))].map((match) => match[1] ?? "");

test("the first example is the quickstart", () => {
  const { source: _, description: __, ...shown } = loadSpec(blocks("yaml")[0] ?? "");
  expect(loadSpecFile("architectures/quickstart.yaml")).toMatchObject(shown);
});

test("the errors shown are the errors given", () => {
  const text = `name: x
d_model: 64
vocab_size: 256
norm: true
head: {}
blocks:
  M: {mixer: {type: mamab, d_state: 16}}
  "-": {ffn: {type: mlp, d_ff: 64}}
layers: (M-){3}{0}
`;
  const given = formatDiagnostics(checkSpec(text, { file: "architectures/x.yaml" }).diagnostics);
  expect(page).toContain(`\`\`\`
${given}
\`\`\``);
});

test("lists and overrides shown are accepted", () => {
  const head = `name: x
d_model: 64
vocab_size: 256
blocks:
  M: {mixer: {type: mamba}}
  "*": {mixer: {type: attention, n_heads: 4, window: 8}}
  "-": {ffn: {type: mlp, d_ff: 64}}
`;
  const layers = blocks("yaml").find((text) => text.startsWith("layers:")) ?? "";
  expect(
    loadSpec(head + layers)
      .layers.map((layer) => layer.block)
      .join(" "),
  ).toBe("M - M - M - * - [M&*]");
  const overrides = blocks("yaml").find((text) => text.startsWith("overrides:")) ?? "";
  const spec = loadSpec(`${head}layers: "*-M{10}"\n${overrides}`);
  expect(spec.layers[0]?.branches[0]?.operator).toMatchObject({ window: null });
  expect(spec.layers.map((layer) => layer.out_scale)).toEqual([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1]);
});
