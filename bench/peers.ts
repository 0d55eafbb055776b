// The peers that benchmarks compare with: onnxruntime on models made here, and TensorFlow.js' WebAssembly backend.
import { availableParallelism } from "node:os";
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-wasm";
import onnxProto from "onnx-proto";
import { InferenceSession } from "onnxruntime-node";

const { onnx } = onnxProto;
const { FLOAT: float, INT32: int32 } = onnx.TensorProto.DataType;

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number | string>>;
  readonly domain?: string;
}

export interface OnnxModel {
  readonly nodes: readonly OnnxNode[];
  /** Float inputs and outputs by name, with their shapes. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly outputs: Readonly<Record<string, readonly number[]>>;
  /** Further inputs, of 32-bit integers. */
  readonly integers?: Readonly<Record<string, readonly number[]>>;
  /** Float constants, which onnxruntime may rearrange when it loads the model. */
  readonly weights?: Readonly<Record<string, { readonly shape: readonly number[]; readonly data: Float32Array }>>;
  /** Version of the standard operator set. Default 15. */
  readonly opset?: number;
}

function attribute(name: string, value: number | string) {
  const types = onnx.AttributeProto.AttributeType;
  if (typeof value === "string") return { name, type: types.STRING, s: new TextEncoder().encode(value) };
  return Number.isInteger(value) ? { name, type: types.INT, i: value } : { name, type: types.FLOAT, f: value };
}

/** The model as onnxruntime reads it. */
export function encodeOnnx({ nodes, inputs, outputs, integers = {}, weights = {}, opset = 15 }: OnnxModel): Uint8Array {
  const values = (shapes: Readonly<Record<string, readonly number[]>>, elemType = float) =>
    Object.entries(shapes).map(([name, shape]) => ({
      name,
      type: { tensorType: { elemType, shape: { dim: shape.map((dimValue) => ({ dimValue })) } } },
    }));
  const model = onnx.ModelProto.fromObject({
    irVersion: 8,
    opsetImport: [
      { domain: "", version: opset },
      { domain: "com.microsoft", version: 1 },
    ],
    graph: {
      name: "bench",
      input: [...values(inputs), ...values(integers, int32)],
      output: values(outputs),
      initializer: Object.entries(weights).map(([name, { shape, data }]) => ({
        name,
        dims: [...shape],
        dataType: float,
        rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      })),
      node: nodes.map(({ op, domain = "", attributes = {}, ...rest }) => ({
        opType: op,
        domain,
        input: [...rest.inputs],
        output: [...rest.outputs],
        attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
      })),
    },
  });
  return onnx.ModelProto.encode(model).finish();
}

/** A session of onnxruntime-node on the CPU with as many threads as the machine has. */
export function onnxSession(model: OnnxModel, threads = availableParallelism()): Promise<InferenceSession> {
  return InferenceSession.create(encodeOnnx(model), {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
  });
}

/** TensorFlow.js with its WebAssembly backend (SIMD; in Node it runs on one thread). */
export async function tensorflowWasm(): Promise<typeof tf> {
  await tf.setBackend("wasm");
  await tf.ready();
  return tf;
}
