// What an exported file says about itself: dialect, data type, architecture. onnxruntime does not tell, so the graph is parsed;
// weights lie beside it, so it is small.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import onnxProto from "onnx-proto";
import { OnnxError } from "../error.ts";

const { onnx } = onnxProto;

export interface OnnxFileFacts {
  /** training: loss and gradients; else a model that reads tokens. */
  readonly kind: "model" | "training";
  /** Of those in lowering.ts, or whatever a later version wrote. */
  readonly dialect: string | undefined;
  /** f32, f16, int8 or int4: how weights are stored. */
  readonly dtype: string;
  /** Version of hybraid that wrote it. */
  readonly version: string | undefined;
  /** JSON of the architecture. */
  readonly spec: string | undefined;
  /** Of the architecture. */
  readonly specHash: string | undefined;
  /** Of the standard operators. */
  readonly opset: number;
  /** Logits of all positions, or of the last only. */
  readonly logits: "all" | "last";
  /** Files beside it that hold its weights. */
  readonly dataFiles: readonly string[];
}

/** @throws OnnxError for a file that can't be read or is no ONNX model */
export async function readOnnxFile(path: string): Promise<OnnxFileFacts> {
  let model: InstanceType<typeof onnx.ModelProto>;
  try {
    const bytes = await readFile(path);
    model = onnx.ModelProto.decode(bytes) as InstanceType<typeof onnx.ModelProto>;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const problem = code === undefined ? "no ONNX model, or cut off" : code === "ENOENT" ? "no such file" : code;
    throw new OnnxError(`${path}: ${problem}`, { cause });
  }
  const facts = new Map((model.metadataProps ?? []).map(({ key, value }) => [key ?? "", value ?? ""]));
  const dims = model.graph?.output?.find(({ name }) => name === "logits")?.type?.tensorType?.shape?.dim ?? [];
  const places = (model.graph?.initializer ?? []).flatMap(({ externalData }) => externalData ?? []);
  const opset = model.opsetImport?.find(({ domain }) => (domain ?? "") === "")?.version ?? 0;
  return {
    kind: facts.get("hybraid.kind") === "training" ? "training" : "model",
    dialect: facts.get("hybraid.dialect"),
    dtype: facts.get("hybraid.dtype") ?? "f32",
    version: facts.get("hybraid.version"),
    spec: facts.get("hybraid.spec"),
    specHash: facts.get("hybraid.spec_hash"),
    opset: Number(opset),
    // A size that is fixed at one; a name has no value.
    logits: Number(dims[1]?.dimValue ?? 0) === 1 ? "last" : "all",
    dataFiles: [...new Set(places.flatMap(({ key, value }) => (key === "location" ? [basename(value ?? "")] : [])))],
  };
}
