// Backward rules of operators that move elements: each gradient goes back to where its element came from, and what is read
// twice adds up.
import { OnnxError } from "../error.ts";
import { present, type Value } from "../lowering.ts";
import { integerAttribute, listAttribute, wrapAxis } from "./attributes.ts";
import type { Extent } from "./extents.ts";
import type { Tape, Vjp, VjpContext } from "./tape.ts";

const ADD = { reduction: "add" } as const;

const first = ({ inputs, outputs, gradients }: VjpContext) => ({
  x: present(inputs[0], "input"),
  y: present(outputs[0], "output"),
  g: present(gradients[0], "gradient"),
});

const reshaped: Vjp = (context, tape) => {
  const { x, g } = first(context);
  return [tape.reshapeLike(g, x)];
};

const transpose: Vjp = (context, tape) => {
  const { x, g } = first(context);
  const rank = tape.typeOf(x).shape.length;
  const perm = listAttribute(context.node.attributes.perm) ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
  return [
    tape.transpose(
      g,
      perm.map((_, axis) => perm.indexOf(axis)),
    ),
  ];
};

const expand: Vjp = (context, tape) => {
  const { x, y, g } = first(context);
  return [tape.unbroadcast(g, tape.typeOf(y).shape, x)];
};

const concat: Vjp = (context, tape) => {
  const { x, g } = first(context);
  const axis = wrapAxis(integerAttribute(context.node.attributes.axis, 0), tape.typeOf(x).shape.length);
  const parts = context.inputs.map((input) => present(input, "part"));
  const sizes = parts.map((part) => tape.typeOf(part).shape[axis]);
  const split = sizes.every((size) => typeof size === "number")
    ? tape.integers(sizes as readonly number[])
    : tape.node(
        "Concat",
        parts.map((part) => tape.sizeOf(part, axis)),
        { axis: 0 },
      );
  return parts.length === 1 ? [g] : tape.nodes("Split", [g, split], parts.length, { axis });
};

const split: Vjp = ({ node, inputs, outputs, gradients }, tape) => {
  const axis = wrapAxis(integerAttribute(node.attributes.axis, 0), tape.typeOf(present(inputs[0], "x")).shape.length);
  const parts = outputs.map((output, i) => gradients[i] ?? tape.zerosLike(output));
  return [tape.node("Concat", parts, { axis })];
};

/** Zeros before and after an axis of g, int64 [1] each. */
function padded(g: Value, before: Value, after: Value, axis: number, rank: number, tape: Tape): Value {
  const zeros = (count: number): Value[] => (count === 0 ? [] : [tape.integers(new Array<number>(count).fill(0))]);
  const pads = [...zeros(axis), before, ...zeros(rank - 1), after, ...zeros(rank - 1 - axis)];
  return tape.node("Pad", [g, tape.node("Concat", pads, { axis: 0 })]);
}

const slice: Vjp = (context, tape) => {
  const { x, y, g } = first(context);
  const { shape } = tape.typeOf(x);
  const [, starts, ends, axes, steps] = context.inputs;
  const numbers = (value: Value | undefined): readonly Extent[] | undefined =>
    value === undefined ? undefined : tape.typeOf(value).contents;
  const [start, end] = [numbers(starts), numbers(ends)].map((list) => list?.[0]);
  const [given, step = 1] = [numbers(axes), Number(numbers(steps)?.[0] ?? 1)];
  const axis = wrapAxis(Number(given?.[0] ?? 0), shape.length);
  // A whole axis the other way round: so is its gradient.
  if (step === -1 && start === -1 && Number(end) < -(2 ** 31))
    return [tape.node("Slice", [g, ...context.inputs.slice(1)])];
  if ((given?.length ?? shape.length) !== 1 || step < 1)
    throw new OnnxError(`${context.node.name}: a slice of several axes, or backwards, has no backward rule`);
  const zero = tape.integers([0]);
  const size = tape.sizeOf(x, axis);
  // Counted from the end where negative, and within the axis.
  const before = (): Value => {
    if (start === 0) return zero;
    const fromEnd = (): Value => tape.node("Max", [tape.node("Add", [size, starts]), zero]);
    const fromStart = (): Value => tape.node("Min", [starts, size]);
    if (typeof start === "number") return start < 0 ? fromEnd() : fromStart();
    return tape.node("Where", [tape.node("Less", [starts, zero]), fromEnd(), fromStart()]);
  };
  const offset = before();
  const room = start === 0 ? size : tape.node("Sub", [size, offset]);
  const length = tape.sizeOf(y, axis);
  if (step === 1) return [padded(g, offset, tape.node("Sub", [room, length]), axis, shape.length, tape)];
  const spread = spreadOut(g, y, axis, step, tape);
  const cut = tape.node("Slice", [spread, zero, room, tape.integers([axis])]);
  const filled = tape.node("Min", [tape.node("Mul", [length, tape.integers([step])]), room]);
  return [padded(cut, offset, tape.node("Sub", [room, filled]), axis, shape.length, tape)];
};

/** g, of the shape of `like`, with `step` − 1 zeros after each element of an axis. */
function spreadOut(g: Value, like: Value, axis: number, step: number, tape: Tape): Value {
  const { shape } = tape.typeOf(like);
  const pads = new Array<number>(2 * (shape.length + 1)).fill(0);
  pads[shape.length + 1 + axis + 1] = step - 1;
  const gaps = tape.node("Pad", [tape.node("Unsqueeze", [g, tape.integers([axis + 1])]), tape.integers(pads)]);
  const target = shape.map((_, i) => {
    const size = tape.sizeOf(like, i);
    return i === axis ? tape.node("Mul", [size, tape.integers([step])]) : size;
  });
  return tape.node("Reshape", [gaps, tape.node("Concat", target, { axis: 0 })], { allowzero: 1 });
}

const pad: Vjp = (context, tape) => {
  const { x, g } = first(context);
  const rank = tape.typeOf(x).shape.length;
  const pads = present(context.inputs[1], "pads");
  const starts = tape.node("Slice", [pads, tape.integers([0]), tape.integers([rank])]);
  return [tape.node("Slice", [g, starts, tape.node("Add", [starts, tape.shapeOf(x)])])];
};

/** Rows are added to where they were taken from; the axis of the rows is brought to the front for it. */
const gather: Vjp = (context, tape) => {
  const { x, g } = first(context);
  const indices = present(context.inputs[1], "indices");
  const rank = tape.typeOf(x).shape.length;
  const axis = wrapAxis(integerAttribute(context.node.attributes.axis, 0), rank);
  const width = tape.typeOf(indices).shape.length;
  const total = rank - 1 + width;
  const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
  const rows = tape.transpose(g, [...range(axis, axis + width), ...range(0, axis), ...range(axis + width, total)]);
  const front = [axis, ...range(0, axis), ...range(axis + 1, rank)];
  const sizes =
    axis === 0 ? tape.shapeOf(x) : tape.node("Gather", [tape.shapeOf(x), tape.integers(front)], { axis: 0 });
  const places = tape.node("Unsqueeze", [indices, tape.integers([-1])]);
  const sums = tape.node("ScatterND", [tape.node("ConstantOfShape", [sizes]), places, rows], ADD);
  return [
    tape.transpose(
      sums,
      front.map((_, i) => front.indexOf(i)),
    ),
  ];
};

const gatherElements: Vjp = (context, tape) => {
  const { x, g } = first(context);
  const axis = integerAttribute(context.node.attributes.axis, 0);
  return [tape.node("ScatterElements", [tape.zerosLike(x), context.inputs[1], g], { axis, ...ADD })];
};

const gatherNd: Vjp = (context, tape) => {
  const { x, g } = first(context);
  return [tape.node("ScatterND", [tape.zerosLike(x), context.inputs[1], g], ADD)];
};

/** What is overwritten has no gradient, and what it is overwritten with has that of its place. */
const scatterNd: Vjp = ({ node, inputs, gradients, needs }, tape) => {
  if (node.attributes.reduction !== undefined) throw new OnnxError(`${node.name}: sums in place have no backward rule`);
  const [, indices, updates] = inputs;
  const g = present(gradients[0], "gradient");
  const zeros = tape.zerosLike(present(updates, "updates"));
  return [
    needs[0] ? tape.node("ScatterND", [g, indices, zeros]) : undefined,
    undefined,
    needs[2] ? tape.node("GatherND", [g, indices]) : undefined,
  ];
};

const scatterElements: Vjp = ({ node, inputs, gradients, needs }, tape) => {
  if (node.attributes.reduction !== undefined) throw new OnnxError(`${node.name}: sums in place have no backward rule`);
  const [, indices, updates] = inputs;
  const g = present(gradients[0], "gradient");
  const axis = { axis: integerAttribute(node.attributes.axis, 0) };
  const zeros = tape.zerosLike(present(updates, "updates"));
  return [
    needs[0] ? tape.node("ScatterElements", [g, indices, zeros], axis) : undefined,
    undefined,
    needs[2] ? tape.node("GatherElements", [g, indices], axis) : undefined,
  ];
};

const topK: Vjp = ({ node, inputs, outputs, gradients }, tape) => {
  const axis = integerAttribute(node.attributes.axis, -1);
  const zeros = tape.zerosLike(present(inputs[0], "x"));
  return [tape.node("ScatterElements", [zeros, outputs[1], gradients[0]], { axis, ...ADD })];
};

export const structuralRules: Readonly<Record<string, Vjp>> = {
  Reshape: reshaped,
  Squeeze: reshaped,
  Unsqueeze: reshaped,
  Transpose: transpose,
  Expand: expand,
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherNd,
  ScatterND: scatterNd,
  ScatterElements: scatterElements,
  TopK: topK,
};
