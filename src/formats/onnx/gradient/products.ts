// Backward rules of products, sums, softmax, norms and convolutions.
import { OnnxError } from "../error.ts";
import { present, type Value } from "../lowering.ts";
import { integerAttribute, reducedAxes, wrapAxis } from "./attributes.ts";
import { asFloat, type Tape, type Vjp, type VjpContext } from "./tape.ts";

const gradientOf = ({ gradients }: VjpContext): Value => present(gradients[0], "gradient");

/** With the last two of `rank` axes exchanged. */
function exchanged(x: Value, rank: number, tape: Tape): Value {
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
  return tape.transpose(x, perm);
}

const matMul: Vjp = (context, tape) => {
  const [a, b] = [present(context.inputs[0], "a"), present(context.inputs[1], "b")];
  const y = present(context.outputs[0], "y");
  const g = gradientOf(context);
  const [left, right, result] = [a, b, y].map((value) => tape.typeOf(value).shape) as [string[], string[], string[]];
  const batch = result.slice(0, -2);
  const da = (): Value =>
    tape.unbroadcast(tape.node("MatMul", [g, exchanged(b, right.length, tape)]), [...batch, ...left.slice(-2)], a);
  const db = (): Value => {
    // Every row counts for a matrix that all share: one product of all rows.
    if (right.length === 2 && left.length > 2) {
      const rows = (x: Value, columns: Value): Value =>
        tape.node("Reshape", [x, tape.node("Concat", [tape.integers([-1]), columns], { axis: 0 })]);
      const flat = rows(a, tape.sizeOf(a, left.length - 1));
      return tape.node("MatMul", [exchanged(flat, 2, tape), rows(g, tape.sizeOf(y, result.length - 1))]);
    }
    return tape.unbroadcast(
      tape.node("MatMul", [exchanged(a, left.length, tape), g]),
      [...batch, ...right.slice(-2)],
      b,
    );
  };
  return [context.needs[0] ? da() : undefined, context.needs[1] ? db() : undefined];
};

const gemm: Vjp = (context, tape) => {
  const { node, needs, outputs } = context;
  const { transA, transB, alpha, beta } = node.attributes;
  if (transA === 1 || alpha !== undefined || beta !== undefined)
    throw new OnnxError(`${node.name}: a Gemm with factors or a transposed first operand has no backward rule`);
  const [a, b, c] = context.inputs;
  const g = gradientOf(context);
  const turned = (x: Value): Value => tape.transpose(x, [1, 0]);
  const da = (): Value => tape.node("MatMul", [g, transB === 1 ? b : turned(present(b, "b"))]);
  const db = (): Value =>
    transB === 1 ? tape.node("MatMul", [turned(g), a]) : tape.node("MatMul", [turned(present(a, "a")), g]);
  const dc = (): Value => tape.unbroadcast(g, tape.typeOf(present(outputs[0], "y")).shape, present(c, "c"));
  return [needs[0] ? da() : undefined, needs[1] ? db() : undefined, needs[2] ? dc() : undefined];
};

const lastAxis = (x: Value, axis: number, tape: Tape): Value =>
  tape.node("ReduceSum", [x, tape.integers([axis])], { keepdims: 1 });

const softmax: Vjp = (context, tape) => {
  const y = present(context.outputs[0], "y");
  const axis = integerAttribute(context.node.attributes.axis, -1);
  const weighted = tape.node("Mul", [gradientOf(context), y]);
  return [tape.node("Sub", [weighted, tape.node("Mul", [y, lastAxis(weighted, axis, tape)])])];
};

const logSoftmax: Vjp = (context, tape) => {
  const g = gradientOf(context);
  const axis = integerAttribute(context.node.attributes.axis, -1);
  const share = tape.node("Exp", [context.outputs[0]]);
  return [tape.node("Sub", [g, tape.node("Mul", [share, lastAxis(g, axis, tape)])])];
};

/** A reduction's gradient (and result) with the axes that went, of length 1. */
function reduction(context: VjpContext, tape: Tape) {
  const x = present(context.inputs[0], "x");
  const axesInput = context.inputs[1];
  const rank = tape.typeOf(x).shape.length;
  const axes = reducedAxes(context.node, rank, axesInput === undefined ? undefined : tape.typeOf(axesInput).contents);
  const keeps = integerAttribute(context.node.attributes.keepdims, 1) === 1;
  const kept = (value: Value): Value => (keeps ? value : tape.node("Unsqueeze", [value, tape.integers(axes)]));
  return { x, axes, kept, g: kept(gradientOf(context)) };
}

const reduceSum: Vjp = (context, tape) => {
  const { x, g } = reduction(context, tape);
  return [tape.node("Expand", [g, tape.shapeOf(x)])];
};

const reduceMean: Vjp = (context, tape) => {
  const { x, g, axes } = reduction(context, tape);
  const sizes = axes.map((axis) => tape.typeOf(x).shape[axis]);
  const count = sizes.every((size) => typeof size === "number")
    ? tape.float(sizes.reduce<number>((n, size) => n * Number(size), 1))
    : axes.map((axis) => asFloat(tape.sizeOf(x, axis), tape)).reduce((a, b) => tape.node("Mul", [a, b]));
  return [tape.node("Expand", [tape.node("Div", [g, count]), tape.shapeOf(x)])];
};

const reduceSumSquare: Vjp = (context, tape) => {
  const { x, g } = reduction(context, tape);
  return [tape.node("Mul", [tape.node("Mul", [x, tape.float(2)]), g])];
};

/** All that are largest have it, as in graphs of our own. */
const reduceMax: Vjp = (context, tape) => {
  const { x, g, kept } = reduction(context, tape);
  const largest = kept(present(context.outputs[0], "y"));
  return [tape.node("Where", [tape.node("Less", [x, largest]), tape.float(0), g])];
};

const cumSum: Vjp = (context, tape) => {
  const { exclusive, reverse } = context.node.attributes;
  const attributes = { exclusive: integerAttribute(exclusive, 0), reverse: 1 - integerAttribute(reverse, 0) };
  return [tape.node("CumSum", [gradientOf(context), context.inputs[1]], attributes)];
};

/** Over the last axis. With n = (x − mean) / σ and h = g · scale: dx = (h − mean(h) − n · mean(h · n)) / σ. */
const layerNormalization: Vjp = (context, tape) => {
  const { node, inputs, needs } = context;
  const [x, scale, bias] = [present(inputs[0], "x"), present(inputs[1], "scale"), inputs[2]];
  const { shape } = tape.typeOf(x);
  if (wrapAxis(integerAttribute(node.attributes.axis, -1), shape.length) !== shape.length - 1)
    throw new OnnxError(`${node.name}: only norms over the last axis have a backward rule`);
  const { epsilon } = node.attributes;
  const eps = typeof epsilon === "object" && "float" in epsilon ? epsilon.float : 1e-5;
  const [sub, mul] = (["Sub", "Mul"] as const).map((op) => (a: Value, b: Value) => tape.node(op, [a, b])) as [
    (a: Value, b: Value) => Value,
    (a: Value, b: Value) => Value,
  ];
  const mean = (value: Value): Value => tape.node("ReduceMean", [value], { axes: [-1], keepdims: 1 });
  const g = gradientOf(context);
  const centred = sub(x, mean(x));
  const deviation = tape.node("Sqrt", [tape.node("Add", [mean(mul(centred, centred)), tape.float(eps)])]);
  const normal = tape.node("Div", [centred, deviation]);
  const h = mul(g, scale);
  const dx = (): Value => tape.node("Div", [sub(sub(h, mean(h)), mul(normal, mean(mul(h, normal)))), deviation]);
  return [
    needs[0] ? dx() : undefined,
    needs[1] ? tape.unbroadcast(mul(g, normal), shape, scale) : undefined,
    needs[2] && bias !== undefined ? tape.unbroadcast(g, shape, bias) : undefined,
  ];
};

/**
 * A convolution over time, channel by channel, unpadded: y[b, c, t] = Σ_k w[c, 0, k] x[b, c, t + k]. Both gradients are such
 * convolutions again: dx of the padded gradient with w reversed; dw of x with the gradient, the batch being summed over as
 * channels are where a group has several.
 */
const conv: Vjp = (context, tape) => {
  const { node, inputs, needs } = context;
  const [x, w, bias] = [present(inputs[0], "x"), present(inputs[1], "w"), inputs[2]];
  const [, channels] = tape.typeOf(x).shape;
  const isPlain = ["pads", "strides", "dilations", "auto_pad"].every((name) => node.attributes[name] === undefined);
  if (!isPlain || node.attributes.group !== channels || tape.typeOf(w).shape[0] !== channels)
    throw new OnnxError(`${node.name}: only convolutions over time, channel by channel, have a backward rule`);
  const g = gradientOf(context);
  const group = { group: Number(channels) };
  const one = tape.integers([1]);
  const zeros = tape.integers([0, 0]);
  const dx = (): Value => {
    const beyond = tape.node("Sub", [tape.sizeOf(w, 2), one]);
    const wide = tape.node("Pad", [g, tape.node("Concat", [zeros, beyond, zeros, beyond], { axis: 0 })]);
    const ends = [tape.integers([-1]), tape.integers([-Number.MAX_SAFE_INTEGER])];
    const reversed = tape.node("Slice", [w, ...ends, tape.integers([2]), tape.integers([-1])]);
    return tape.node("Conv", [wide, reversed], group);
  };
  const dw = (): Value => {
    const channelsFirst = (value: Value): Value => tape.transpose(value, [1, 0, 2]);
    const length = tape.sizeOf(x, 2);
    const rows = tape.node("Reshape", [
      channelsFirst(x),
      tape.node("Concat", [one, tape.integers([-1]), length], { axis: 0 }),
    ]);
    const sums = tape.node("Conv", [rows, channelsFirst(g)], group);
    return tape.transpose(sums, [1, 0, 2]);
  };
  return [
    needs[0] ? dx() : undefined,
    needs[1] ? dw() : undefined,
    needs[2] && bias !== undefined ? tape.node("ReduceSum", [g, tape.integers([0, 2])], { keepdims: 0 }) : undefined,
  ];
};

export const productRules: Readonly<Record<string, Vjp>> = {
  MatMul: matMul,
  Gemm: gemm,
  Softmax: softmax,
  LogSoftmax: logSoftmax,
  ReduceSum: reduceSum,
  ReduceMean: reduceMean,
  ReduceSumSquare: reduceSumSquare,
  ReduceMax: reduceMax,
  CumSum: cumSum,
  LayerNormalization: layerNormalization,
  Conv: conv,
};
