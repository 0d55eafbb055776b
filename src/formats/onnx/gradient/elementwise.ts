// Backward rules of elementwise operators. Where a function has a corner, the derivative is the one that graphs of our own have
// (graph/expression.ts).
import { present, type Value } from "../lowering.ts";
import type { Tape, Vjp, VjpContext } from "./tape.ts";

/** g · f′(x), from x, y = f(x) and g. */
const unary =
  (derivative: (x: Value, y: Value, g: Value, tape: Tape) => Value): Vjp =>
  ({ inputs, outputs, gradients }, tape) => [
    derivative(present(inputs[0], "x"), present(outputs[0], "y"), present(gradients[0], "gradient"), tape),
  ];

/** The gradients of two operands in the shape of the result, each summed to its operand's shape where it is wanted. */
const binary =
  (...partials: readonly ((g: Value, a: Value, b: Value, y: Value, tape: Tape) => Value)[]): Vjp =>
  (context, tape) => {
    const [a, b] = [present(context.inputs[0], "a"), present(context.inputs[1], "b")];
    const y = present(context.outputs[0], "y");
    const g = present(context.gradients[0], "gradient");
    return partials.map((partial, i) =>
      context.needs[i] ? tape.unbroadcast(partial(g, a, b, y, tape), tape.typeOf(y).shape, i === 0 ? a : b) : undefined,
    );
  };

const mul = (a: Value, b: Value, tape: Tape): Value => tape.node("Mul", [a, b]);
/** g where `condition`, else 0. */
const only = (condition: Value, g: Value, tape: Tape): Value => tape.node("Where", [condition, g, tape.float(0)]);
const greater = (a: Value, b: Value, tape: Tape): Value => tape.node("Greater", [a, b]);
const not = (x: Value, tape: Tape): Value => tape.node("Not", [x]);

/** 1 − y². */
const oneMinusSquare = (y: Value, tape: Tape): Value => tape.node("Sub", [tape.float(1), mul(y, y, tape)]);

function where({ inputs, outputs, gradients, needs }: VjpContext, tape: Tape): readonly (Value | undefined)[] {
  const [condition, a, b] = [present(inputs[0], "condition"), present(inputs[1], "a"), present(inputs[2], "b")];
  const g = present(gradients[0], "gradient");
  const { shape } = tape.typeOf(present(outputs[0], "y"));
  const zero = tape.float(0);
  const chosen = (wanted: boolean | undefined, first: Value, second: Value, operand: Value): Value | undefined =>
    wanted ? tape.unbroadcast(tape.node("Where", [condition, first, second]), shape, operand) : undefined;
  return [undefined, chosen(needs[1], g, zero, a), chosen(needs[2], zero, g, b)];
}

/** max(a, b) and, with the operands exchanged in comparisons, min(a, b). Equal operands: the second's. */
const extreme = (isFirst: (a: Value, b: Value, tape: Tape) => Value): Vjp => {
  const two = binary(
    (g, a, b, _, tape) => only(isFirst(a, b, tape), g, tape),
    (g, a, b, _, tape) => only(not(isFirst(a, b, tape), tape), g, tape),
  );
  return (context, tape) => {
    if (context.inputs.length !== 2)
      throw new Error(`${context.node.name} has ${context.inputs.length} operands, not 2`);
    return two(context, tape);
  };
};

export const elementwiseRules: Readonly<Record<string, Vjp>> = {
  Add: binary(
    (g) => g,
    (g) => g,
  ),
  Sub: binary(
    (g) => g,
    (g, _a, _b, _y, tape) => tape.node("Neg", [g]),
  ),
  Mul: binary(
    (g, _, b, __, tape) => mul(g, b, tape),
    (g, a, _, __, tape) => mul(g, a, tape),
  ),
  Div: binary(
    (g, _, b, __, tape) => tape.node("Div", [g, b]),
    (g, _, b, y, tape) => tape.node("Neg", [tape.node("Div", [mul(g, y, tape), b])]),
  ),
  Max: extreme(greater),
  Min: extreme((a, b, tape) => greater(b, a, tape)),
  Where: where,
  Identity: ({ gradients }) => [gradients[0]],
  // Between floats; what comes from conditions and indices has no gradient.
  Cast: ({ gradients }) => [gradients[0]],
  Neg: unary((_, __, g, tape) => tape.node("Neg", [g])),
  Abs: unary((x, _, g, tape) => {
    const zero = tape.float(0);
    return tape.node("Where", [greater(x, zero, tape), g, only(greater(zero, x, tape), tape.node("Neg", [g]), tape)]);
  }),
  // At 0, where the slope is infinite, none.
  Sqrt: unary((_, y, g, tape) => {
    const rises = greater(y, tape.float(0), tape);
    const safe = tape.node("Where", [rises, y, tape.float(1)]);
    return only(rises, tape.node("Div", [mul(g, tape.float(0.5), tape), safe]), tape);
  }),
  Exp: unary((_, y, g, tape) => mul(g, y, tape)),
  Log: unary((x, _, g, tape) => tape.node("Div", [g, x])),
  Reciprocal: unary((_, y, g, tape) => tape.node("Neg", [mul(g, mul(y, y, tape), tape)])),
  Tanh: unary((_, y, g, tape) => mul(g, oneMinusSquare(y, tape), tape)),
  Sigmoid: unary((_, y, g, tape) => mul(g, mul(y, tape.node("Sub", [tape.float(1), y]), tape), tape)),
  Softplus: unary((x, _, g, tape) => mul(g, tape.node("Sigmoid", [x]), tape)),
  Erf: unary((x, _, g, tape) => {
    const bell = tape.node("Exp", [tape.node("Neg", [mul(x, x, tape)])]);
    return mul(g, mul(bell, tape.float(2 / Math.sqrt(Math.PI)), tape), tape);
  }),
  Sin: unary((x, _, g, tape) => mul(g, tape.node("Cos", [x]), tape)),
  Cos: unary((x, _, g, tape) => tape.node("Neg", [mul(g, tape.node("Sin", [x]), tape)])),
  Sinh: unary((x, _, g, tape) => mul(g, tape.node("Cosh", [x]), tape)),
};
