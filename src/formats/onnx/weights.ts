// The weights of products and look-ups: the one place where a matrix parameter becomes a tensor of the file, in the layout and
// the type that the dialect multiplies fastest. A matrix is stored once, whoever reads it.
import { leafName, type usesOf } from "../../graph/graph.ts";
import { fixedDimAt, type Shape } from "../../graph/shape.ts";
import type { Node, Tensor } from "../../graph/types.ts";
import { fromFloat32 } from "../safetensors/dtype.ts";
import type { OnnxBuilder } from "./builder.ts";
import { after, type Eventual } from "./eventual.ts";
import { cast } from "./forms/cast.ts";
import type { OnnxEmitter, Value } from "./lowering.ts";
import {
  type Blocks,
  divides,
  packCodes,
  type Quantisation,
  quantiseBlocks,
  type StorageOptions,
  transposed,
} from "./storage.ts";

/** A matrix [rows, depth] of the model: a parameter, or one expert of a stack of them. */
interface Matrix {
  readonly name: string;
  readonly rows: number;
  readonly depth: number;
  /** Its rows are looked up as well, so that rows must stay together. */
  readonly isTable: boolean;
  /** How it is kept. */
  readonly type: "f32" | "f16" | Quantisation;
  readonly values: () => Eventual<Float32Array>;
}

export interface MatrixWeights {
  /**
   * x [.., depth] · wᵀ for a parameter w [rows, depth], or for matrix `expert` of a stack [experts, rows, depth]; `shape` is
   * that of x. Undefined where w is something else, or is read in other ways than by such products and look-ups.
   */
  product(x: Value, shape: Shape, weight: Tensor, expert?: number): Value | undefined;
  /** Rows `ids` of a parameter [rows, depth]; undefined where that is something else, or read in other ways. */
  rows(table: Tensor, ids: Value): Value | undefined;
}

interface Context {
  readonly readers: ReturnType<typeof usesOf>["readers"];
  readonly builder: OnnxBuilder;
  readonly emit: Pick<OnnxEmitter, "dialect" | "node" | "integers" | "integer" | "floats" | "sizes" | "once">;
  readonly weight: (name: string) => Eventual<Float32Array>;
  readonly storage: StorageOptions;
  /** Tensors that the graph is given, rather than stored in the file. */
  readonly given: ReadonlyMap<Tensor, Value>;
}

type Reading = "product" | "look-up" | "other";

function readingOf({ op, inputs, attributes }: Node, weight: Tensor): Reading {
  const others = inputs.filter((input) => input === weight).length > 1;
  if (others) return "other";
  if (op.name === "gather") return inputs[0] === weight ? "look-up" : "other";
  if (op.name === "matmul" && inputs[1] === weight)
    return (attributes as { readonly transposeB: boolean }).transposeB ? "product" : "other";
  if (op.name === "expert_matmul" && inputs[1] === weight)
    return (attributes as { readonly transposed: boolean }).transposed ? "other" : "product";
  return "other";
}

/** Keeps the last value that was made. */
function memory<T>(): (key: string, make: () => Eventual<T>) => Eventual<T> {
  let last: { readonly key: string; readonly value: Eventual<T> } | undefined;
  return (key, make) => {
    if (last?.key !== key) last = { key, value: make() };
    return last.value;
  };
}

export function matrixWeights({ readers, builder, emit, weight, storage, given }: Context): MatrixWeights {
  const { dialect, node } = emit;
  /** The last of each: parts of a stack, or codes, scales and zero points, are written one after the other. */
  const [lastRead, lastBlocks] = [memory<Float32Array>(), memory<Blocks>()];
  const readersOf = (tensor: Tensor): readonly Node[] => readers.get(tensor) ?? [];

  /** What chooses experts is kept as it is: near ties a small error chooses others. */
  const chooses = (tensor: Tensor): boolean =>
    readersOf(tensor).some(({ outputs }) =>
      outputs.some((output) => readersOf(output).some(({ op }) => op.name === "top_k")),
    );

  function matrixOf(tensor: Tensor, expert: number | undefined): Matrix | undefined {
    const isStored = tensor.node.op.leaf === "parameter" && !given.has(tensor);
    if (!isStored || tensor.shape.length !== (expert === undefined ? 2 : 3)) return undefined;
    const readings = readersOf(tensor).map((reader) => readingOf(reader, tensor));
    if (readings.includes("other")) return undefined;
    const [rows, depth] = [fixedDimAt(tensor.shape, -2), fixedDimAt(tensor.shape, -1)];
    const leaf = leafName(tensor.node);
    const size = rows * depth;
    const values =
      expert === undefined
        ? () => weight(leaf)
        : () =>
            after(
              lastRead(leaf, () => weight(leaf)),
              (stack) => stack.subarray(expert * size, (expert + 1) * size),
            );
    const { dtype = "f32", quantise } = storage;
    const narrow = divides(depth, quantise) ? quantise : dtype;
    return {
      name: expert === undefined ? leaf : `${leaf}.${expert}`,
      ...{ rows, depth, values },
      isTable: readings.includes("look-up"),
      type: chooses(tensor) ? "f32" : narrow,
    };
  }

  const reshape = (x: Value, sizes: readonly number[]): Value => node("Reshape", [x, emit.integers(sizes)]);

  /** A matrix that is not quantised, as it is, or [depth, rows] where only products read it. */
  function plain({ name, rows, depth, isTable, type, values }: Matrix): Value {
    const stored = (suffix: string, dims: readonly number[], data: () => Eventual<Float32Array>): Value =>
      type === "f16"
        ? builder.stored(`${name}${suffix}.f16`, "f16", dims, () =>
            after(data(), (numbers) => fromFloat32(numbers, "F16")),
          )
        : builder.floats(`${name}${suffix}`, dims, data);
    return isTable
      ? stored("", [rows, depth], values)
      : stored(".transposed", [depth, rows], () => after(values(), (numbers) => transposed(numbers, rows, depth)));
  }

  /** x · wᵀ where w has its rows together: Gemm, which takes matrices only. */
  function gemm(x: Value, shape: Shape, matrix: Value, { rows, depth }: Matrix): Value {
    const isMatrix = shape.length === 2;
    const product = node("Gemm", [isMatrix ? x : reshape(x, [-1, depth]), matrix], { attributes: { transB: 1 } });
    return isMatrix ? product : node("Reshape", [product, emit.sizes([...shape.slice(0, -1), rows])]);
  }

  const blocksOf = ({ name, values }: Matrix, type: Quantisation): Eventual<Blocks> =>
    lastBlocks(name, () => after(values(), (numbers) => quantiseBlocks(numbers, type)));

  /** Tensors of com.microsoft's quantised operators: codes [rows, depth · bits / 8], scales and zero points by row and block. */
  function contrib(matrix: Matrix, type: Quantisation) {
    const { name, rows, depth } = matrix;
    const [bytes, blocks] = [(depth * type.bits) / 8, depth / type.block];
    const codes = `${name}.int${type.bits}`;
    const packed = () => after(blocksOf(matrix, type), (all) => packCodes(all.codes, type.bits));
    const zeroBytes = Math.ceil((blocks * type.bits) / 8);
    return {
      flat: (): Value => builder.stored(`${codes}.rows`, "u8", [rows, bytes], packed, codes),
      blocks: (): Value => builder.stored(codes, "u8", [rows, blocks, bytes / blocks], packed),
      scales: builder.floats(`${name}.scales`, [rows, blocks], () =>
        after(blocksOf(matrix, type), (all) => all.scales),
      ),
      zeros: type.symmetric
        ? undefined
        : builder.stored(`${name}.zeros`, "u8", [rows, zeroBytes], () =>
            after(blocksOf(matrix, type), (all) => packCodes(all.zeros, type.bits, blocks)),
          ),
    };
  }

  /**
   * A quantised matrix as f32 by standard operators: as it is, or [depth, rows] where only products read it. A runtime that
   * folds constants has it as f32 in memory; one that knows DequantizeLinear before a product need not.
   */
  function dequantised(matrix: Matrix, type: Quantisation): Value {
    const { name, rows, depth, isTable } = matrix;
    const blocks = depth / type.block;
    const by = isTable ? "" : ".transposed";
    /** Codes, scales or zero points in the layout of the file. */
    const part =
      <K extends keyof Blocks>(which: K, columns: number) =>
      (): Eventual<Blocks[K]> =>
        after(blocksOf(matrix, type), (all) => (isTable ? all[which] : transposed(all[which], rows, columns)));
    const [codes, scales, zeros] = [part("codes", depth), part("scales", blocks), part("zeros", blocks)];
    const dims = isTable ? [rows, depth] : [depth, rows];
    const perBlock = isTable ? [rows, blocks] : [blocks, rows];
    return emit.once(`dequantised ${name}`, () => {
      const scale = builder.floats(`${name}.scales${by}`, perBlock, scales);
      if (dialect === "onnx") {
        const element = type.bits === 4 ? "u4" : "u8";
        const pack = (data: () => Eventual<Uint8Array>) => () => after(data(), (list) => packCodes(list, type.bits));
        const inputs = [
          builder.stored(`${name}.int${type.bits}${by}`, element, dims, pack(codes)),
          scale,
          builder.stored(`${name}.zeros${by}`, element, perBlock, pack(zeros)),
        ];
        return node("DequantizeLinear", inputs, { attributes: { axis: isTable ? 1 : 0, block_size: type.block } });
      }
      const split = isTable ? [rows, blocks, type.block] : [blocks, type.block, rows];
      const broadcast = isTable ? [rows, blocks, 1] : [blocks, 1, rows];
      const packed = builder.stored(`${name}.int${type.bits}${by}`, "u8", [(rows * depth * type.bits) / 8], () =>
        after(codes(), (list) => packCodes(list, type.bits)),
      );
      const numbers = reshape(type.bits === 8 ? cast(packed, "f32", emit) : unpacked(packed), split);
      const zero = type.symmetric
        ? emit.floats([2 ** (type.bits - 1)])
        : cast(builder.stored(`${name}.zeros${by}`, "u8", broadcast, zeros), "f32", emit);
      const scaled = node("Mul", [node("Sub", [numbers, zero]), reshape(scale, broadcast)]);
      return reshape(scaled, dims);
    });
  }

  /** Bytes [.., n] as the numbers of their halves, f32 [.., n, 2]. */
  function unpacked(bytes: Value): Value {
    const both = cast(bytes, "f32", emit);
    const sixteen = emit.floats([16]);
    const high = node("Floor", [node("Div", [both, sixteen])]);
    const low = node("Sub", [both, node("Mul", [high, sixteen])]);
    const last = emit.integers([-1]);
    const parts = [low, high].map((part) => node("Unsqueeze", [part, last]));
    return node("Concat", parts, { attributes: { axis: -1 } });
  }

  /** Rows of a quantised table by standard operators; only they are converted. */
  function dequantisedRows(matrix: Matrix, ids: Value, type: Quantisation): Value {
    const { name, rows, depth } = matrix;
    const blocks = depth / type.block;
    // Shares its bytes with what a product reads.
    const content = `${name}.int${type.bits}`;
    const bytes = (depth * type.bits) / 8;
    const table = builder.stored(
      `${content}.rows`,
      "u8",
      [rows, bytes],
      () => after(blocksOf(matrix, type), (all) => packCodes(all.codes, type.bits)),
      content,
    );
    const scales = builder.floats(`${name}.scales`, [rows, blocks], () =>
      after(blocksOf(matrix, type), (all) => all.scales),
    );
    const taken = (from: Value): Value => node("Gather", [from, ids], { attributes: { axis: 0 } });
    const byBlock = (x: Value, last: number): Value =>
      node("Reshape", [
        x,
        node("Concat", [node("Shape", [ids]), emit.integers([blocks, last])], { attributes: { axis: 0 } }),
      ]);
    const numbers = byBlock(type.bits === 8 ? cast(taken(table), "f32", emit) : unpacked(taken(table)), type.block);
    let zero = emit.floats([2 ** (type.bits - 1)]);
    if (!type.symmetric) {
      const zeros = builder.stored(`${name}.zeros.rows`, "u8", [rows, blocks], () =>
        after(blocksOf(matrix, type), (all) => all.zeros),
      );
      zero = byBlock(cast(taken(zeros), "f32", emit), 1);
    }
    const scaled = node("Mul", [node("Sub", [numbers, zero]), byBlock(taken(scales), 1)]);
    const shape = node("Concat", [node("Shape", [ids]), emit.integers([depth])], { attributes: { axis: 0 } });
    return node("Reshape", [scaled, shape]);
  }

  return {
    product(x, shape, tensor, expert) {
      const matrix = matrixOf(tensor, expert);
      if (matrix === undefined) return undefined;
      const { type, isTable, rows, depth } = matrix;
      const multiply = (a: Value, b: Value): Value => (isTable ? gemm(a, shape, b, matrix) : node("MatMul", [a, b]));
      if (type === "f32") return multiply(x, plain(matrix));
      if (type === "f16") return cast(multiply(cast(x, "f16", emit), plain(matrix)), "f32", emit);
      if (dialect !== "ort") return multiply(x, dequantised(matrix, type));
      const { blocks, scales, zeros } = contrib(matrix, type);
      const attributes = { K: depth, N: rows, bits: type.bits, block_size: type.block };
      return node("MatMulNBits", [x, blocks(), scales, zeros], { attributes, contrib: true });
    },

    rows(tensor, ids) {
      const matrix = matrixOf(tensor, undefined);
      if (matrix === undefined) return undefined;
      const { type } = matrix;
      const looked = (table: Value): Value => node("Gather", [table, ids], { attributes: { axis: 0 } });
      if (type === "f32") return looked(plain(matrix));
      if (type === "f16") return cast(looked(plain(matrix)), "f32", emit);
      if (dialect !== "ort") return dequantisedRows(matrix, ids, type);
      const { flat, scales, zeros } = contrib(matrix, type);
      const attributes = { gather_axis: 0, quantize_axis: 1, block_size: type.block, bits: type.bits };
      return node("GatherBlockQuantized", [flat(), ids, scales, zeros], { attributes, contrib: true });
    },
  };
}
