// An ONNX graph under construction: nodes in the order they are added, constants stored once, inputs and outputs; and its
// encoding. Nodes and constants that no output depends on are left out of the file.
import onnxProto from "onnx-proto";
import type { DType } from "../../graph/shape.ts";
import { OnnxError } from "./error.ts";
import { after, type Eventual } from "./eventual.ts";
import type { ValueType } from "./gradient/inference.ts";
import {
  type Adjoint,
  type Attribute,
  type BuiltNode,
  type Dialect,
  dialectFacts,
  type NodeGroup,
  type NodeOptions,
  type Subgraph,
  type Value,
} from "./lowering.ts";

const { onnx } = onnxProto;
const { FLOAT, FLOAT16, INT64, UINT8 } = onnx.TensorProto.DataType;
/** Newer than onnx-proto. */
const UINT4 = 21;
const elementTypes: { readonly [D in DType]: number } = { f32: FLOAT, i32: INT64 };

/** Types of stored tensors, and bits of an element. */
const storedTypes = {
  f32: { id: FLOAT, bits: 32 },
  f16: { id: FLOAT16, bits: 16 },
  i64: { id: INT64, bits: 64 },
  u8: { id: UINT8, bits: 8 },
  u4: { id: UINT4, bits: 4 },
} as const;
export type StoredType = keyof typeof storedTypes;

export type Dimension = number | string;

/** Where a tensor is that is not in the file itself. */
export interface ExternalPlace {
  /** A file in the same folder. */
  readonly location: string;
  /** In bytes. */
  readonly offset: number;
  readonly length: number;
}

/** Bytes that tensors of the file hold; several tensors may share them. */
export interface StoredTensor {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Asked for once, when the tensor is written. */
  readonly bytes: () => Eventual<Uint8Array>;
}

interface Constant {
  readonly dims: readonly number[];
  readonly type: StoredType;
  /** Under which its bytes are stored: its own name, or that of the tensor that it shares them with. */
  readonly content: string;
  readonly bytes: () => Eventual<Uint8Array>;
}

interface Port {
  readonly name: string;
  /** Left out where nothing reads it. */
  readonly optional?: boolean;
  readonly dtype: DType;
  readonly shape: readonly Dimension[];
}

function attributeProto(name: string, value: Attribute) {
  const kinds = onnx.AttributeProto.AttributeType;
  if (typeof value === "string") return { name, type: kinds.STRING, s: new TextEncoder().encode(value) };
  if (typeof value === "number") {
    return Number.isInteger(value) ? { name, type: kinds.INT, i: value } : { name, type: kinds.FLOAT, f: value };
  }
  if ("float" in value) return { name, type: kinds.FLOAT, f: value.float };
  if ("graph" in value) return { name, type: kinds.GRAPH, g: subgraphProto(value.graph) };
  return { name, type: kinds.INTS, ints: [...value] };
}

function valueInfo({ name, dtype, shape }: Port) {
  const dim = shape.map((d) => (typeof d === "number" ? { dimValue: d } : { dimParam: d }));
  return { name, type: { tensorType: { elemType: elementTypes[dtype], shape: { dim } } } };
}

const sizeInBytes = ({ dims, type }: Constant): number =>
  Math.ceil((storedTypes[type].bits * dims.reduce((n, dim) => n * dim, 1)) / 8);

function nodeProto({ name, op, contrib, inputs, outputs, attributes }: BuiltNode, read: ReadonlySet<Value>): object {
  return {
    name,
    opType: op,
    domain: contrib ? "com.microsoft" : "",
    input: [...inputs],
    // Outputs that nothing reads have no name, so that a kernel need not compute them; operators may insist on their
    // first and last.
    output: outputs.map((output, i) => (i === 0 || i === outputs.length - 1 || read.has(output) ? output : "")),
    attribute: Object.entries(attributes).map(([key, value]) => attributeProto(key, value)),
  };
}

function subgraphProto({ name, inputs, outputs, nodes }: Subgraph): object {
  const port = ({ name: value, dtype }: Subgraph["inputs"][number]): object => ({
    name: value,
    type: { tensorType: { elemType: elementTypes[dtype] } },
  });
  const read = new Set([...outputs.map((output) => output.name), ...nodes.flatMap((node) => node.inputs)]);
  return {
    name,
    input: inputs.map(port),
    output: outputs.map(port),
    node: nodes.map((node) => nodeProto(node, read)),
  };
}

/** The graphs that a node has as attributes. */
const subgraphsOf = ({ attributes }: BuiltNode): Subgraph[] =>
  Object.values(attributes).flatMap((value) => (typeof value === "object" && "graph" in value ? [value.graph] : []));

/** Nodes and those in their subgraphs. */
const withInner = (nodes: readonly BuiltNode[]): BuiltNode[] =>
  nodes.flatMap((node) => [node, ...subgraphsOf(node).flatMap((graph) => withInner(graph.nodes))]);

function tensorProto(name: string, { dims, type, bytes }: Constant, place: ExternalPlace | undefined): object {
  const head = { name, dims: [...dims], dataType: storedTypes[type].id };
  if (place === undefined) {
    const rawData = bytes();
    if (rawData instanceof Promise)
      throw new OnnxError(`"${name}" is read from a file that takes time: load it before the graph is encoded`);
    return { ...head, rawData };
  }
  const externalData = Object.entries(place).map(([key, value]) => ({ key, value: String(value) }));
  return { ...head, dataLocation: onnx.TensorProto.DataLocation.EXTERNAL, externalData };
}

/** The bytes of an array's numbers, little-endian as everywhere that JavaScript runs. */
const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

export class OnnxBuilder {
  /** Of the graph, or of the subgraph that is being made. */
  #nodes: BuiltNode[] = [];
  readonly #groups: NodeGroup[] = [];
  readonly #constants = new Map<Value, Constant>();
  readonly #inputs: Port[] = [];
  readonly #outputs: Port[] = [];
  readonly #names = new Map<string, number>();
  readonly #declared = new Map<Value, Port>();
  readonly dialect: Dialect;
  /** Which tensor of the model's graph the nodes that follow come from. */
  scope = "";

  constructor(dialect: Dialect) {
    this.dialect = dialect;
  }

  #claim(name: string): void {
    if ([...this.#inputs, ...this.#outputs].some((port) => port.name === name))
      throw new OnnxError(`two inputs or outputs of the ONNX graph would be called "${name}"`);
  }

  /** An input; an optional one is left out where nothing reads it. */
  input(name: string, dtype: DType, shape: readonly Dimension[], { optional = false } = {}): Value {
    this.#claim(name);
    this.#inputs.push({ name, dtype, shape, optional });
    return name;
  }

  output(name: string, value: Value, dtype: DType, shape: readonly Dimension[]): void {
    this.#claim(name);
    this.#nodes.push({ name, op: "Identity", contrib: false, inputs: [value], outputs: [name], attributes: {} });
    this.#outputs.push({ name, dtype, shape });
  }

  /** A stored f32 tensor; `data` is asked for when the file is written. */
  floats(name: Value, dims: readonly number[], data: () => Eventual<Float32Array>): Value {
    return this.stored(name, "f32", dims, data);
  }

  /** A stored tensor of any type, row-major; elements of 4 bits are two in a byte. Has the bytes of `content` where that is given. */
  stored(
    name: Value,
    type: StoredType,
    dims: readonly number[],
    data: () => Eventual<ArrayBufferView>,
    content = name,
  ): Value {
    if (!this.#constants.has(name))
      this.#constants.set(name, { dims, type, content, bytes: () => after(data(), bytesOf) });
    return name;
  }

  /** Reads the tensors that are needed and whose bytes are in none of `places`, so that `encode` has them. */
  async load(places: ReadonlyMap<string, ExternalPlace>): Promise<void> {
    const { read } = this.#needed();
    for (const [name, constant] of this.#constants) {
      if (!read.has(name) || places.has(constant.content)) continue;
      const bytes = await constant.bytes();
      this.#constants.set(name, { ...constant, bytes: () => bytes });
    }
  }

  integers(name: Value, dims: readonly number[], values: readonly number[]): Value {
    if (!this.#constants.has(name)) {
      const bytes = bytesOf(BigInt64Array.from(values, BigInt));
      this.#constants.set(name, { dims, type: "i64", content: name, bytes: () => bytes });
    }
    return name;
  }

  /** What the size of an axis of an input is called. */
  sizeOf(input: Value, axis: number): Dimension | undefined {
    return this.#inputs.find(({ name }) => name === input)?.shape[axis];
  }

  /**
   * Says what is known of the shape of an f32 value between nodes. Runtimes plan memory by it: where sizes have names, values of
   * equal size share a buffer, and onnxruntime opens large graphs far sooner.
   */
  declare(value: Value, shape: readonly Dimension[]): void {
    this.#declared.set(value, { name: value, dtype: "f32", shape });
  }

  /** A name that no value and no node has had. */
  unique(name: string): string {
    const count = this.#names.get(name) ?? 0;
    this.#names.set(name, count + 1);
    return count === 0 ? name : `${name}.${count}`;
  }

  nodes(op: string, inputs: readonly (Value | undefined)[], count: number, options: NodeOptions = {}): Value[] {
    const { attributes = {}, contrib = false } = options;
    const name = this.unique(this.scope === "" ? op : `${this.scope}/${op}`);
    const outputs = Array.from({ length: count }, (_, i) => (i === 0 ? `${name}:0` : `${name}:${i}`));
    // Absent inputs have empty names, and those at the end are left out.
    const names = inputs.map((input) => input ?? "");
    while (names.at(-1) === "") names.pop();
    this.#nodes.push({ name, op, contrib, inputs: names, outputs, attributes });
    return outputs;
  }

  /** A graph for an attribute of a node: `build` adds its nodes and returns its outputs. All its inputs and outputs are f32. */
  subgraph(name: string, inputs: readonly string[], build: (inputs: readonly Value[]) => readonly Value[]): Subgraph {
    const outer = this.#nodes;
    this.#nodes = [];
    try {
      const label = this.unique(this.scope === "" ? name : `${this.scope}/${name}`);
      const values = inputs.map((input) => `${label}.${input}`);
      // An output has a name of its own, also where it is an input or leaves twice.
      const outputs = build(values).map((value, i) => {
        const output = `${label}.output.${i}`;
        this.#nodes.push({
          name: output,
          op: "Identity",
          contrib: false,
          inputs: [value],
          outputs: [output],
          attributes: {},
        });
        return output;
      });
      const typed = (list: readonly Value[]): Subgraph["inputs"] =>
        list.map((value) => ({ name: value, dtype: "f32" }));
      return { name: label, inputs: typed(values), outputs: typed(outputs), nodes: this.#nodes };
    } finally {
      this.#nodes = outer;
    }
  }

  /** Adds what `build` adds, as a group that is differentiated by a rule of its own. */
  withAdjoint(inputs: readonly Value[], build: () => readonly Value[], adjoint: Adjoint): readonly Value[] {
    const first = this.#nodes.length;
    const outputs = build();
    this.#groups.push({ first, end: this.#nodes.length, inputs, outputs, adjoint });
    return outputs;
  }

  /** Groups with a rule of their own, in order. */
  groups(): readonly NodeGroup[] {
    return [...this.#groups];
  }

  /** Names, types and shapes of the inputs. */
  inputs(): readonly Pick<Port, "name" | "dtype" | "shape">[] {
    return [...this.#inputs];
  }

  /** The nodes so far. */
  built(): readonly BuiltNode[] {
    return [...this.#nodes];
  }

  /** Element type and shape of an input or a constant; and the numbers of int64 vectors. */
  typeOf(value: Value): ValueType | undefined {
    const port = this.#inputs.find(({ name }) => name === value);
    if (port !== undefined) return { element: port.dtype === "f32" ? "f32" : "i64", shape: port.shape };
    const constant = this.#constants.get(value);
    if (constant === undefined) return undefined;
    const { dims, type, bytes } = constant;
    if (type === "f32") return { element: "f32", shape: dims };
    const numbers = type === "i64" ? bytes() : undefined;
    if (numbers === undefined || numbers instanceof Promise) return undefined;
    const { buffer, byteOffset, byteLength } = numbers;
    const contents = Array.from(new BigInt64Array(buffer, byteOffset, byteLength / 8), Number);
    return { element: "i64", shape: dims, contents };
  }

  /** Nodes that an output depends on, in order, and the values that they read. */
  #needed(): { readonly nodes: readonly BuiltNode[]; readonly read: ReadonlySet<Value> } {
    const read = new Set<Value>(this.#outputs.map(({ name }) => name));
    const kept: BuiltNode[] = [];
    for (const node of [...this.#nodes].reverse()) {
      if (!node.outputs.some((output) => read.has(output))) continue;
      kept.push(node);
      for (const { inputs } of withInner([node])) for (const input of inputs) if (input !== "") read.add(input);
    }
    return { nodes: kept.reverse(), read };
  }

  /** The operators of the file and how often each stands in it. */
  operators(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { op } of withInner(this.#needed().nodes)) counts.set(op, (counts.get(op) ?? 0) + 1);
    return counts;
  }

  /** What the file's tensors hold that is as large as `least` bytes or larger, in the order in which it is needed. */
  contents(least: number): StoredTensor[] {
    const { read } = this.#needed();
    const found = new Map<string, StoredTensor>();
    for (const [name, constant] of this.#constants) {
      const size = sizeInBytes(constant);
      const { type, content, bytes } = constant;
      // Shapes and indices of nodes are int64 and small.
      if (read.has(name) && type !== "i64" && size >= least && !found.has(content))
        found.set(content, { name: content, size, bytes });
    }
    return [...found.values()];
  }

  /** The file; tensors that `places` holds are left out of it, and it says where they are. */
  encode(
    metadata: Readonly<Record<string, string>> = {},
    places: ReadonlyMap<string, ExternalPlace> = new Map(),
  ): Uint8Array {
    const { nodes, read } = this.#needed();
    const initializer = [...this.#constants]
      .filter(([name]) => read.has(name))
      .map(([name, constant]) => tensorProto(name, constant, places.get(constant.content)));
    const contrib = withInner(nodes).some((node) => node.contrib);
    const { opset, irVersion } = dialectFacts[this.dialect];
    const model = onnx.ModelProto.fromObject({
      irVersion,
      producerName: "hybraid",
      opsetImport: [{ domain: "", version: opset }, ...(contrib ? [{ domain: "com.microsoft", version: 1 }] : [])],
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      graph: {
        name: "model",
        input: this.#inputs.filter(({ name, optional }) => !optional || read.has(name)).map(valueInfo),
        output: this.#outputs.map(valueInfo),
        initializer,
        valueInfo: nodes.flatMap(({ outputs }) =>
          outputs.flatMap((output) => this.#declared.get(output) ?? []).map(valueInfo),
        ),
        node: nodes.map((node) => nodeProto(node, read)),
      },
    });
    return onnx.ModelProto.encode(model).finish();
  }
}
