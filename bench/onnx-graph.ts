// Writes ONNX graphs of whole models by hand: nodes in the order they are added, constants, and the encoding that
// onnxruntime reads.
import onnxProto from "onnx-proto";

const { onnx } = onnxProto;
const { FLOAT, INT32, INT64 } = onnx.TensorProto.DataType;
const types = { float: FLOAT, int32: INT32, int64: INT64 } as const;

export type ElementType = keyof typeof types;
export type Dimension = number | string;
/** Whole numbers are INT attributes; fractions and `{ float }` are FLOAT. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

function attribute(name: string, value: Attribute) {
  const kinds = onnx.AttributeProto.AttributeType;
  if (typeof value === "string") return { name, type: kinds.STRING, s: new TextEncoder().encode(value) };
  if (typeof value === "number") {
    return Number.isInteger(value) ? { name, type: kinds.INT, i: value } : { name, type: kinds.FLOAT, f: value };
  }
  if ("float" in value) return { name, type: kinds.FLOAT, f: value.float };
  return { name, type: kinds.INTS, ints: [...value] };
}

function valueInfo(name: string, type: ElementType, shape: readonly Dimension[]) {
  const dim = shape.map((d) => (typeof d === "number" ? { dimValue: d } : { dimParam: d }));
  return { name, type: { tensorType: { elemType: types[type], shape: { dim } } } };
}

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** An operator of the domain com.microsoft. */
  readonly contrib?: boolean;
  readonly outputs?: number;
}

export class OnnxGraph {
  readonly #nodes: object[] = [];
  readonly #constants = new Map<string, object>();
  readonly #inputs: object[] = [];
  readonly #outputs: object[] = [];
  #count = 0;

  input(name: string, type: ElementType, shape: readonly Dimension[]): string {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  output(name: string, value: string, shape: readonly Dimension[]): void {
    this.#nodes.push({ opType: "Identity", input: [value], output: [name] });
    this.#outputs.push(valueInfo(name, "float", shape));
  }

  /** A constant; the name keeps it from being stored twice. */
  floats(name: string, shape: readonly number[], data: () => Float32Array): string {
    if (!this.#constants.has(name)) {
      const values = data();
      const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      this.#constants.set(name, { name, dims: [...shape], dataType: FLOAT, rawData });
    }
    return name;
  }

  integers(values: readonly number[]): string {
    const name = `integers.${values.join(".")}`;
    if (!this.#constants.has(name)) {
      const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
      this.#constants.set(name, { name, dims: [values.length], dataType: INT64, rawData });
    }
    return name;
  }

  /** Adds a node; an absent input is "". Returns the names of its outputs. */
  nodes(op: string, inputs: readonly string[], options: NodeOptions = {}): string[] {
    const { attributes = {}, contrib = false, outputs = 1 } = options;
    const output = Array.from({ length: outputs }, () => `t${this.#count++}`);
    this.#nodes.push({
      opType: op,
      domain: contrib ? "com.microsoft" : "",
      input: [...inputs],
      output,
      attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    });
    return output;
  }

  /** Adds a node with one output. */
  node(op: string, inputs: readonly string[], options: NodeOptions = {}): string {
    return this.nodes(op, inputs, options)[0] ?? "";
  }

  reshape(x: string, shape: readonly number[]): string {
    return this.node("Reshape", [x, this.integers(shape)]);
  }

  split(x: string, sizes: readonly number[]): string[] {
    const options = { attributes: { axis: -1 }, outputs: sizes.length };
    return this.nodes("Split", [x, this.integers(sizes)], options);
  }

  encode(): Uint8Array {
    const model = onnx.ModelProto.fromObject({
      irVersion: 8,
      opsetImport: [
        { domain: "", version: 17 },
        { domain: "com.microsoft", version: 1 },
      ],
      graph: {
        name: "model",
        input: this.#inputs,
        output: this.#outputs,
        initializer: [...this.#constants.values()],
        node: this.#nodes,
      },
    });
    return onnx.ModelProto.encode(model).finish();
  }
}
