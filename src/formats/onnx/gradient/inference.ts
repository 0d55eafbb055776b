// Element types and shapes of the values of an ONNX graph, as far as a backward pass has to know them: how many axes each has,
// which of them have equal sizes, and what small int64 vectors (shapes, bounds) hold.
import { OnnxError } from "../error.ts";
import type { BuiltNode, Value } from "../lowering.ts";
import { integerAttribute, listAttribute, reducedAxes, wrapAxis } from "./attributes.ts";
import { broadcastExtents, type Extent, extentProduct, extentQuotient, extentSum } from "./extents.ts";

export type ElementType = "f32" | "i64" | "bool";

export interface ValueType {
  readonly element: ElementType;
  readonly shape: readonly Extent[];
  /** Of an int64 scalar or vector. */
  readonly contents?: readonly Extent[] | undefined;
}

interface Context {
  readonly node: BuiltNode;
  readonly inputs: readonly (ValueType | undefined)[];
  /** A size that nothing is known about. */
  unknown(): Extent;
}

type Rule = (context: Context) => readonly ValueType[];

const elements: Readonly<Record<number, ElementType>> = { 1: "f32", 7: "i64", 9: "bool" };

/** Input `i` of a node, which it must have. */
function typeAt({ node, inputs }: Context, i: number): ValueType {
  const type = inputs[i];
  if (type === undefined) throw new OnnxError(`${node.name}: nothing is known about its input ${i}`);
  return type;
}

/** An int64 input whose numbers are known when the graph is made. */
function fixedContents(context: Context, i: number): readonly number[] {
  const contents = typeAt(context, i).contents;
  if (contents === undefined || !contents.every((extent) => typeof extent === "number"))
    throw new OnnxError(`${context.node.name}: the numbers of its input ${i} are not known`);
  return contents as readonly number[];
}

const withShape = (type: ValueType, shape: readonly Extent[], contents?: readonly Extent[]): ValueType => ({
  element: type.element,
  shape,
  contents,
});

/** The same shape, other numbers. */
const alike: Rule = (context) => [withShape(typeAt(context, 0), typeAt(context, 0).shape)];

const elementwise =
  (element?: ElementType, combine?: (a: Extent, b: Extent) => Extent): Rule =>
  (context) => {
    const types = context.inputs.map((_, i) => typeAt(context, i));
    const [first = { element: "f32", shape: [] } satisfies ValueType] = types;
    const shape = types.reduce<readonly Extent[]>(
      (total, type) => broadcastExtents(total, type.shape, context.unknown),
      [],
    );
    const [a, b] = types.map((type) => type.contents);
    const contents =
      combine !== undefined && a !== undefined && b !== undefined
        ? Array.from({ length: Math.max(a.length, b.length) }, (_, i) =>
            combine(a[a.length === 1 ? 0 : i] ?? 0, b[b.length === 1 ? 0 : i] ?? 0),
          )
        : undefined;
    return [{ element: element ?? first.element, shape, contents }];
  };

/** A function of two sizes: a number, or an expression. */
const computed =
  (name: string, evaluate: (a: number, b: number) => number) =>
  (a: Extent, b: Extent): Extent =>
    typeof a === "number" && typeof b === "number" ? evaluate(a, b) : `${name}(${a},${b})`;

const where: Rule = (context) => {
  const [condition, a, b] = [0, 1, 2].map((i) => typeAt(context, i).shape) as [Extent[], Extent[], Extent[]];
  const { unknown } = context;
  const shape = broadcastExtents(broadcastExtents(condition, a, unknown), b, unknown);
  return [withShape(typeAt(context, 1), shape)];
};

const reshape: Rule = (context) => {
  const x = typeAt(context, 0);
  const target = typeAt(context, 1);
  const length = target.shape[0];
  if (typeof length !== "number") throw new OnnxError(`${context.node.name}: how many axes it makes is not known`);
  const wanted = target.contents ?? Array.from({ length }, context.unknown);
  const kept = wanted.map((extent, axis) => (extent === 0 ? (x.shape[axis] ?? 0) : extent));
  const rest = extentQuotient(
    x.shape,
    kept.filter((extent) => extent !== -1),
  );
  const shape = kept.map((extent) => (extent === -1 ? rest : extent));
  return [withShape(x, shape, shape.length <= 1 ? x.contents : undefined)];
};

const transpose: Rule = (context) => {
  const x = typeAt(context, 0);
  const perm = listAttribute(context.node.attributes.perm) ?? x.shape.map((_, i) => x.shape.length - 1 - i);
  return [
    withShape(
      x,
      perm.map((axis) => x.shape[axis] ?? 1),
    ),
  ];
};

const unsqueeze: Rule = (context) => {
  const x = typeAt(context, 0);
  const axes = fixedContents(context, 1);
  const rank = x.shape.length + axes.length;
  const added = new Set(axes.map((axis) => wrapAxis(axis, rank)));
  const old = [...x.shape];
  const shape = Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : (old.shift() ?? 1)));
  return [withShape(x, shape, rank <= 1 ? x.contents : undefined)];
};

const squeeze: Rule = (context) => {
  const x = typeAt(context, 0);
  const removed = new Set(fixedContents(context, 1).map((axis) => wrapAxis(axis, x.shape.length)));
  return [
    withShape(
      x,
      x.shape.filter((_, axis) => !removed.has(axis)),
      x.contents,
    ),
  ];
};

const concat: Rule = (context) => {
  const types = context.inputs.map((_, i) => typeAt(context, i));
  const first = typeAt(context, 0);
  const at = wrapAxis(integerAttribute(context.node.attributes.axis, 0), first.shape.length);
  const total = extentSum(types.map((type) => type.shape[at] ?? 1));
  const shape = first.shape.map((extent, axis) => (axis === at ? total : extent));
  const isVector = first.element === "i64" && shape.length === 1;
  const parts = types.map((type) => type.contents);
  const contents = parts.flatMap((part) => part ?? []);
  return [withShape(first, shape, isVector && parts.every((part) => part !== undefined) ? contents : undefined)];
};

const slice: Rule = (context) => {
  const x = typeAt(context, 0);
  const [starts, ends] = [1, 2].map((i) => typeAt(context, i).contents);
  const steps = context.inputs[4] === undefined ? undefined : fixedContents(context, 4);
  const axes = context.inputs[3] === undefined ? x.shape.map((_, i) => i) : fixedContents(context, 3);
  const shape = [...x.shape];
  let contents: readonly Extent[] | undefined = x.shape.length === 1 ? x.contents : undefined;
  for (const [i, axis] of axes.entries()) {
    const at = wrapAxis(axis, shape.length);
    const [size = 1, start, end, step] = [shape[at], starts?.[i], ends?.[i], steps?.[i] ?? 1];
    if (start === undefined || end === undefined) {
      shape[at] = context.unknown();
      contents = undefined;
      continue;
    }
    const covers = start === 0 && step === 1 && (end === size || (typeof end === "number" && end >= 2 ** 31));
    if (covers) continue;
    if (contents !== undefined && step === 1 && typeof start === "number" && typeof end === "number")
      contents = contents.slice(start, end);
    else contents = undefined;
    // The last of an axis, which is never empty where it is asked for, may be stretched: it has to be known for what it is.
    const isLast = start === -1 && step === 1 && typeof end === "number" && end >= 2 ** 31;
    if (isLast) {
      shape[at] = 1;
      continue;
    }
    shape[at] =
      typeof size === "number" && typeof start === "number" && typeof end === "number"
        ? slicedLength(size, start, end, step)
        : `slice(${size},${start},${end},${step})`;
  }
  return [withShape(x, shape, contents)];
};

function slicedLength(size: number, start: number, end: number, step: number): number {
  const clamp = (at: number): number => Math.min(Math.max(at < 0 ? at + size : at, 0), size);
  return Math.max(0, Math.ceil((clamp(end) - clamp(start)) / step));
}

const gather: Rule = (context) => {
  const [data, indices] = [typeAt(context, 0), typeAt(context, 1)];
  const at = wrapAxis(integerAttribute(context.node.attributes.axis, 0), data.shape.length);
  const shape = [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)];
  const [source, places] = [data.contents, indices.contents];
  const isKnown = data.shape.length === 1 && source !== undefined && places?.every((p) => typeof p === "number");
  return [withShape(data, shape, isKnown ? places?.map((p) => source.at(Number(p)) ?? 0) : undefined)];
};

const split: Rule = (context) => {
  const x = typeAt(context, 0);
  const at = wrapAxis(integerAttribute(context.node.attributes.axis, 0), x.shape.length);
  const sizes = context.inputs[1]?.contents;
  return context.node.outputs.map((_, i) =>
    withShape(
      x,
      x.shape.map((extent, axis) => (axis === at ? (sizes?.[i] ?? context.unknown()) : extent)),
    ),
  );
};

const expand: Rule = (context) => {
  const x = typeAt(context, 0);
  const length = typeAt(context, 1).shape[0];
  const target = typeAt(context, 1).contents ?? Array.from({ length: Number(length) }, context.unknown);
  return [withShape(x, broadcastExtents(x.shape, target, context.unknown))];
};

const pad: Rule = (context) => {
  const x = typeAt(context, 0);
  const pads = typeAt(context, 1).contents;
  const shape = x.shape.map((extent, axis) => {
    const [before, after] = [pads?.[axis], pads?.[axis + x.shape.length]];
    if (before === undefined || after === undefined) return context.unknown();
    return extentSum([extent, before, after]);
  });
  return [withShape(x, shape)];
};

/** What a vector given at run time fills: its numbers are the shape. */
const filled =
  (element: ElementType): Rule =>
  (context) => {
    const target = typeAt(context, 0);
    return [{ element, shape: target.contents ?? Array.from({ length: Number(target.shape[0]) }, context.unknown) }];
  };

const range: Rule = (context) => {
  const [start, limit, step] = [0, 1, 2].map((i) => typeAt(context, i).contents?.[0]);
  return [
    {
      element: typeAt(context, 0).element,
      shape: [start === 0 && step === 1 ? (limit ?? context.unknown()) : context.unknown()],
    },
  ];
};

const shapeOf: Rule = (context) => {
  const { shape } = typeAt(context, 0);
  return [{ element: "i64", shape: [shape.length], contents: shape }];
};

const reduction: Rule = (context) => {
  const x = typeAt(context, 0);
  if (context.inputs[1] !== undefined) fixedContents(context, 1);
  const axes = new Set(reducedAxes(context.node, x.shape.length, context.inputs[1]?.contents));
  const keeps = integerAttribute(context.node.attributes.keepdims, 1) === 1;
  const shape = x.shape.flatMap((extent, axis) => (axes.has(axis) ? (keeps ? [1] : []) : [extent]));
  return [withShape(x, shape)];
};

const matMul: Rule = (context) => {
  const [a, b] = [typeAt(context, 0), typeAt(context, 1)];
  if (a.shape.length < 2 || b.shape.length < 2)
    throw new OnnxError(`${context.node.name}: a product of vectors has no place in a graph that is differentiated`);
  const batch = broadcastExtents(a.shape.slice(0, -2), b.shape.slice(0, -2), context.unknown);
  return [withShape(a, [...batch, a.shape.at(-2) ?? 1, b.shape.at(-1) ?? 1])];
};

const gemm: Rule = (context) => {
  const [a, b] = [typeAt(context, 0), typeAt(context, 1)];
  const { transA, transB } = context.node.attributes;
  return [withShape(a, [a.shape[transA === 1 ? 1 : 0] ?? 1, b.shape[transB === 1 ? 0 : 1] ?? 1])];
};

const conv: Rule = (context) => {
  const [x, w] = [typeAt(context, 0).shape, typeAt(context, 1).shape];
  const [size = 1, taps = 1] = [x[2], w[2]];
  const length = typeof size === "number" && typeof taps === "number" ? size - taps + 1 : `conv(${size},${taps})`;
  return [withShape(typeAt(context, 0), [x[0] ?? 1, w[0] ?? 1, length])];
};

const topK: Rule = (context) => {
  const x = typeAt(context, 0);
  const at = wrapAxis(integerAttribute(context.node.attributes.axis, -1), x.shape.length);
  const count = typeAt(context, 1).contents?.[0] ?? context.unknown();
  const shape = x.shape.map((extent, axis) => (axis === at ? count : extent));
  return [withShape(x, shape), { element: "i64", shape }];
};

const gatherNd: Rule = (context) => {
  const [data, indices] = [typeAt(context, 0), typeAt(context, 1)];
  return [withShape(data, [...indices.shape.slice(0, -1), ...data.shape.slice(Number(indices.shape.at(-1)))])];
};

const same = elementwise();
const truth = elementwise("bool");
const rules: Readonly<Record<string, Rule>> = {
  Abs: alike,
  Add: elementwise(undefined, (a, b) => extentSum([a, b])),
  And: truth,
  Cast: (context) => {
    const element = elements[integerAttribute(context.node.attributes.to, 1)] ?? "f32";
    const x = typeAt(context, 0);
    return [{ element, shape: x.shape, contents: element === "i64" ? x.contents : undefined }];
  },
  Concat: concat,
  ConstantOfShape: filled("f32"),
  Conv: conv,
  Cos: alike,
  CumSum: alike,
  Div: elementwise(
    undefined,
    computed("div", (a, b) => Math.trunc(a / b)),
  ),
  Equal: truth,
  Erf: alike,
  Exp: alike,
  Expand: expand,
  Gather: gather,
  GatherElements: (context) => [withShape(typeAt(context, 0), typeAt(context, 1).shape)],
  GatherND: gatherNd,
  Gemm: gemm,
  Greater: truth,
  GreaterOrEqual: truth,
  Identity: (context) => [typeAt(context, 0)],
  LayerNormalization: alike,
  Less: truth,
  LessOrEqual: truth,
  Log: alike,
  LogSoftmax: alike,
  MatMul: matMul,
  Max: elementwise(undefined, computed("max", Math.max)),
  Min: elementwise(undefined, computed("min", Math.min)),
  Mod: elementwise(
    undefined,
    computed("mod", (a, b) => a % b),
  ),
  Mul: elementwise(undefined, (a, b) => extentProduct([a, b])),
  Neg: alike,
  NonZero: (context) => [{ element: "i64", shape: [typeAt(context, 0).shape.length, context.unknown()] }],
  Not: alike,
  Or: truth,
  Pad: pad,
  Range: range,
  Reciprocal: alike,
  ReduceMax: reduction,
  ReduceMean: reduction,
  ReduceSum: reduction,
  ReduceSumSquare: reduction,
  Reshape: reshape,
  ScatterElements: alike,
  ScatterND: alike,
  Shape: shapeOf,
  Sigmoid: alike,
  Sin: alike,
  Sinh: alike,
  Slice: slice,
  Softmax: alike,
  Softplus: alike,
  Split: split,
  Sqrt: alike,
  Squeeze: squeeze,
  Sub: elementwise(
    undefined,
    computed("sub", (a, b) => a - b),
  ),
  Tanh: alike,
  TopK: topK,
  Transpose: transpose,
  Unsqueeze: unsqueeze,
  Where: where,
  Pow: same,
};

/** The types of all values of `nodes`; `leaf` gives those of inputs and constants. @throws OnnxError for what is not known here. */
export function inferTypes(
  nodes: readonly BuiltNode[],
  leaf: (value: Value) => ValueType | undefined,
): (value: Value) => ValueType {
  const types = new Map<Value, ValueType>();
  const find = (value: Value): ValueType | undefined => types.get(value) ?? leaf(value);
  let unknowns = 0;
  const unknown = (): Extent => `?${unknowns++}`;
  for (const node of nodes) {
    const rule = rules[node.op];
    if (rule === undefined)
      throw new OnnxError(`${node.op} (${node.name}) has no place in a graph that is differentiated`);
    const inputs = node.inputs.map((input) => (input === "" ? undefined : find(input)));
    for (const [i, type] of rule({ node, inputs, unknown }).entries()) {
      const output = node.outputs[i];
      if (output !== undefined) types.set(output, type);
    }
  }
  return (value) => {
    const type = find(value);
    if (type === undefined) throw new OnnxError(`nothing is known about ${value}`);
    return type;
  };
}
