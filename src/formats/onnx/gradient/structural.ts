// Backward rules of operators that move elements: each gradient goes back to where its element came from, and what is read
// twice adds up.
import { OnnxError } from "../error.ts";
import { present, type Value } from "../lowering.ts";
import { integerAttribute, listAttribute, wrapAxis } from "./inference.ts";
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

/** Zeros before and after the axes of g, int64 [number of axes] each. */
function padded(g: Value, before: Value, after: Value, axes: readonly number[], rank: number, tape: Tape): Value {
  const zeros = tape.integers(new Array<number>(2 * rank).fill(0));
  const places = tape.integers([...axes, ...axes.map((axis) => axis + rank)]);
  const values = tape.node("Concat", [before, after], { axis: 0 });
  return tape.node("Pad", [g, tape.node("ScatterElements", [zeros, places, values])]);
}

const slice: Vjp = (context, tape) => {
  const { x, y, g } = first(context);
  const { shape } = tape.typeOf(x);
  const [, startsInput, endsInput, axesInput, stepsInput] = context.inputs;
  const starts = present(startsInput, "starts");
  const axes =
    axesInput === undefined
      ? shape.map((_, i) => i)
      : (tape.typeOf(axesInput).contents ?? []).map((axis) => wrapAxis(Number(axis), shape.length));
  const steps = stepsInput === undefined ? axes.map(() => 1) : (tape.typeOf(stepsInput).contents ?? []).map(Number);
  const known = tape.typeOf(starts).contents;
  const last = tape.typeOf(present(endsInput, "ends")).contents?.[0];
  // A whole axis the other way round: so is its gradient.
  if (steps.length === 1 && steps[0] === -1 && known?.[0] === -1 && Number(last) < -(2 ** 31))
    return [tape.node("Slice", [g, ...context.inputs.slice(1)])];
  const sizes =
    axes.length === 1
      ? tape.sizeOf(x, axes[0] ?? 0)
      : tape.node("Gather", [tape.shapeOf(x), tape.integers(axes)], { axis: 0 });
  // From the end where negative, and inside of the axis.
  const zero = tape.integers([0]);
  const fromEnd = tape.node("Add", [sizes, starts]);
  const places = known?.every((start) => typeof start === "number" && start >= 0)
    ? starts
    : known?.every((start) => typeof start === "number" && start < 0)
      ? fromEnd
      : tape.node("Where", [tape.node("Less", [starts, zero]), fromEnd, starts]);
  const before = tape.node("Max", [tape.node("Min", [places, sizes]), zero]);
  const room = tape.node("Sub", [sizes, before]);
  if (steps.every((step) => step === 1)) {
    const lengths =
      axes.length === 1
        ? tape.sizeOf(y, axes[0] ?? 0)
        : tape.node("Gather", [tape.shapeOf(y), tape.integers(axes)], { axis: 0 });
    return [padded(g, before, tape.node("Sub", [room, lengths]), axes, shape.length, tape)];
  }
  const [axis] = axes;
  const [step] = steps;
  if (axis === undefined || step === undefined || axes.length > 1 || step < 1)
    throw new OnnxError(`${context.node.name}: a slice of several axes in steps, or backwards, has no backward rule`);
  const spread = spreadOut(g, y, axis, step, tape);
  const cut = tape.node("Slice", [spread, tape.integers([0]), room, tape.integers([axis])]);
  const length = tape.node("Min", [tape.node("Mul", [tape.sizeOf(y, axis), tape.integers([step])]), room]);
  return [padded(cut, before, tape.node("Sub", [room, length]), [axis], shape.length, tape)];
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
