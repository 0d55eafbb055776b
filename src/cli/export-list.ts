// hybraid export --list: dialects and models, with what of them was verified.
import { dialectFacts, dialects } from "../formats/onnx/lowering.ts";
import { tolerances } from "../formats/onnx/node/verify.ts";
import { verified } from "../formats/onnx/verified.generated.ts";
import { dataTypes } from "../model/node/onnx.ts";
import { formatTable } from "./table.ts";

/** Prints them. */
export function listOnnx(json: boolean): void {
  if (json) {
    const list = dialects.map((name) => ({ name, ...dialectFacts[name] }));
    const types = dataTypes.map((name) => ({ name, tolerance: tolerances[name] }));
    process.stdout.write(`${JSON.stringify({ dialects: list, data_types: types, models: verified }, null, 2)}\n`);
    return;
  }
  const reasons = new Map<string, string[]>();
  const cell = (name: string, dialect: string, result: number | string | undefined): string => {
    if (typeof result === "number") return result.toExponential(0);
    if (result === undefined) return "";
    const models = reasons.get(result) ?? [];
    reasons.set(result, [...models, `${name} ${dialect}`]);
    return `– [${[...reasons.keys()].indexOf(result) + 1}]`;
  };
  const rows = verified.map(({ name, dialects: results, transformersJs }) => [
    name,
    ...dialects.map((dialect) => cell(name, dialect, results[dialect])),
    transformersJs ?? "–",
  ]);
  const parts = [
    "Dialects (--dialect):",
    formatTable(
      ["", "opset", ""],
      dialects.map((name) => [name, String(dialectFacts[name].opset), dialectFacts[name].description]),
      [0, 2],
    ),
    "",
    `Weights: ${dataTypes.map((type) => `${type} (error up to ${tolerances[type]} of the largest logit)`).join(", ")}`,
    "",
    "Models: the largest error in onnxruntime, and the family as which transformers.js runs them",
    formatTable(["", ...dialects, "transformers.js"], rows, [0, dialects.length + 1]),
    ...[...reasons.keys()].map((reason, i) => `  [${i + 1}] ${reason}`),
  ];
  process.stdout.write(`${parts.join("\n")}\n`);
}
