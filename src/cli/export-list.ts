// hybraid export --list: dialects and models, with what of them was verified.
import { dialectFacts, dialects } from "../formats/onnx/lowering.ts";
import { tolerances } from "../formats/onnx/node/verify.ts";
import { verified } from "../formats/onnx/verified.generated.ts";
import { dataTypes } from "../model/node/onnx.ts";
import { formatTable } from "./table.ts";

const measures = {
  largest: "the largest, relative to the largest logit",
  rms: "root mean square, relative to that of the logits",
} as const;

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
  const narrow = dataTypes.filter((type) => type !== "f32");
  const rows = verified.map(({ name, dialects: results, types, transformersJs }) => [
    name,
    ...dialects.map((dialect) => cell(name, dialect, results[dialect])),
    ...narrow.map((type) => cell(name, type, types[type])),
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
    "Weights (--dtype, --quantize): what a logit's error may be for an export to be written",
    formatTable(
      ["", "", ""],
      dataTypes.map((type) => [type, String(tolerances[type]?.most ?? ""), measures[tolerances[type]?.of ?? "rms"]]),
      [0, 2],
    ),
    "",
    "Models in onnxruntime: the error found in each dialect with f32, and in ort with narrower weights in blocks of 16 (random",
    "weights of tiny models, the hardest to narrow); the family as which transformers.js runs them",
    formatTable(["", ...dialects, ...narrow, "transformers.js"], rows, [0, dialects.length + narrow.length + 1]),
    ...[...reasons.keys()].map((reason, i) => `  [${i + 1}] ${reason}`),
  ];
  process.stdout.write(`${parts.join("\n")}\n`);
}
