// Elementwise expressions: what a `map` op computes at each element. Fusing maps is composing expressions,
// differentiating one is symbolic. Functions have one row each in `functions`: arity, value and partial derivatives.

export type Expression =
  | { readonly kind: "input"; readonly index: number }
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "call"; readonly fn: ElementFunction; readonly args: readonly Expression[] };

interface FunctionRow {
  readonly arity: number;
  /** Value in float64. */
  readonly evaluate: (...x: number[]) => number;
  /** Partial derivatives with respect to each argument, given the arguments and the call itself. */
  readonly partials: (x: readonly Expression[], y: Expression) => readonly Expression[];
  /** Transcendental: too dear to compute twice. */
  readonly dear?: boolean;
}

export type ElementFunction =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "neg"
  | "max"
  | "min"
  | "greater"
  | "where"
  | "abs"
  | "sqrt"
  | "exp"
  | "log"
  | "log1p"
  | "tanh"
  | "sigmoid"
  | "softplus"
  | "erf"
  | "sin"
  | "cos";

export const input = (index: number): Expression => ({ kind: "input", index });
export const literal = (value: number): Expression => ({ kind: "constant", value });

const zero = literal(0);
const one = literal(1);

const isValue = (e: Expression, value: number): boolean => e.kind === "constant" && e.value === value;

/** A call, with constants folded and neutral elements removed. */
export function call(fn: ElementFunction, ...args: readonly Expression[]): Expression {
  const [a = zero, b = zero] = args;
  if (args.every((arg) => arg.kind === "constant")) {
    const value = functions[fn].evaluate(...args.map((arg) => (arg.kind === "constant" ? arg.value : 0)));
    if (Number.isFinite(value)) return literal(value);
  }
  if (fn === "add") {
    if (isValue(a, 0)) return b;
    if (isValue(b, 0)) return a;
  }
  if (fn === "sub") {
    if (isValue(b, 0)) return a;
    if (isValue(a, 0)) return call("neg", b);
  }
  if (fn === "mul") {
    if (isValue(a, 1)) return b;
    if (isValue(b, 1)) return a;
    if (isValue(a, 0) || isValue(b, 0)) return zero;
    if (isValue(a, -1)) return call("neg", b);
    if (isValue(b, -1)) return call("neg", a);
  }
  if (fn === "div" && isValue(b, 1)) return a;
  if (fn === "neg" && a.kind === "call" && a.fn === "neg") return a.args[0] ?? a;
  return { kind: "call", fn, args };
}

export const add = (a: Expression, b: Expression): Expression => call("add", a, b);
export const sub = (a: Expression, b: Expression): Expression => call("sub", a, b);
export const mul = (a: Expression, b: Expression): Expression => call("mul", a, b);
export const div = (a: Expression, b: Expression): Expression => call("div", a, b);
export const neg = (a: Expression): Expression => call("neg", a);
export const exp = (a: Expression): Expression => call("exp", a);
export const sigmoid = (a: Expression): Expression => call("sigmoid", a);
export const tanh = (a: Expression): Expression => call("tanh", a);
export const softplus = (a: Expression): Expression => call("softplus", a);
export const silu = (a: Expression): Expression => mul(a, sigmoid(a));
export const relu = (a: Expression): Expression => call("max", a, zero);
export const square = (a: Expression): Expression => mul(a, a);
/** Exact GELU: x Φ(x). */
export const gelu = (a: Expression): Expression =>
  mul(mul(literal(0.5), a), add(one, call("erf", mul(a, literal(Math.SQRT1_2)))));
/** GELU by tanh: ½x(1 + tanh(√(2/π)(x + 0.044715x³))). */
export const geluTanh = (a: Expression): Expression =>
  mul(
    mul(literal(0.5), a),
    add(one, tanh(mul(literal(Math.sqrt(2 / Math.PI)), add(a, mul(literal(0.044715), mul(a, square(a))))))),
  );

/** softplus with the field's threshold: x itself above 20, log(1 + eˣ) below. */
export const softplusValue = (x: number): number => (x > 20 ? x : Math.log1p(Math.exp(x)));
export const sigmoidValue = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

/** erf in float64, to about 1e-15: Taylor series near zero, Lentz's continued fraction of erfc beyond. */
export function erfValue(x: number): number {
  const magnitude = Math.abs(x);
  if (magnitude < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 60; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  if (magnitude > 6) return Math.sign(x);
  let fraction = 0;
  for (let n = 80; n >= 1; n--) fraction = n / 2 / (magnitude + fraction);
  const complement = Math.exp(-magnitude * magnitude) / (Math.sqrt(Math.PI) * (magnitude + fraction));
  return Math.sign(x) * (1 - complement);
}

const at = (x: readonly Expression[], i: number): Expression => x[i] ?? zero;

export const functions: { readonly [F in ElementFunction]: FunctionRow } = {
  add: { arity: 2, evaluate: (a = 0, b = 0) => a + b, partials: () => [one, one] },
  sub: { arity: 2, evaluate: (a = 0, b = 0) => a - b, partials: () => [one, literal(-1)] },
  mul: { arity: 2, evaluate: (a = 0, b = 0) => a * b, partials: (x) => [at(x, 1), at(x, 0)] },
  div: {
    arity: 2,
    evaluate: (a = 0, b = 0) => a / b,
    partials: (x, y) => [div(one, at(x, 1)), neg(div(y, at(x, 1)))],
  },
  neg: { arity: 1, evaluate: (a = 0) => -a, partials: () => [literal(-1)] },
  max: {
    arity: 2,
    evaluate: (a = 0, b = 0) => Math.max(a, b),
    partials: (x) => [call("greater", at(x, 0), at(x, 1)), sub(one, call("greater", at(x, 0), at(x, 1)))],
  },
  min: {
    arity: 2,
    evaluate: (a = 0, b = 0) => Math.min(a, b),
    partials: (x) => [call("greater", at(x, 1), at(x, 0)), sub(one, call("greater", at(x, 1), at(x, 0)))],
  },
  /** 1 where a > b, else 0. */
  greater: { arity: 2, evaluate: (a = 0, b = 0) => (a > b ? 1 : 0), partials: () => [zero, zero] },
  /** a where c ≠ 0, else b. */
  where: {
    arity: 3,
    evaluate: (c = 0, a = 0, b = 0) => (c !== 0 ? a : b),
    partials: (x) => [zero, call("where", at(x, 0), one, zero), call("where", at(x, 0), zero, one)],
  },
  abs: {
    arity: 1,
    evaluate: (a = 0) => Math.abs(a),
    partials: (x) => [sub(call("greater", at(x, 0), zero), call("greater", zero, at(x, 0)))],
  },
  sqrt: { arity: 1, evaluate: (a = 0) => Math.sqrt(a), partials: (_, y) => [div(literal(0.5), y)] },
  exp: { arity: 1, dear: true, evaluate: (a = 0) => Math.exp(a), partials: (_, y) => [y] },
  log: { arity: 1, dear: true, evaluate: (a = 0) => Math.log(a), partials: (x) => [div(one, at(x, 0))] },
  log1p: { arity: 1, dear: true, evaluate: (a = 0) => Math.log1p(a), partials: (x) => [div(one, add(one, at(x, 0)))] },
  tanh: { arity: 1, dear: true, evaluate: (a = 0) => Math.tanh(a), partials: (_, y) => [sub(one, square(y))] },
  sigmoid: {
    arity: 1,
    dear: true,
    evaluate: (a = 0) => sigmoidValue(a),
    partials: (_, y) => [mul(y, sub(one, y))],
  },
  softplus: { arity: 1, dear: true, evaluate: (a = 0) => softplusValue(a), partials: (x) => [sigmoid(at(x, 0))] },
  erf: {
    arity: 1,
    dear: true,
    evaluate: (a = 0) => erfValue(a),
    partials: (x) => [mul(literal(2 / Math.sqrt(Math.PI)), exp(neg(square(at(x, 0)))))],
  },
  sin: { arity: 1, dear: true, evaluate: (a = 0) => Math.sin(a), partials: (x) => [call("cos", at(x, 0))] },
  cos: { arity: 1, dear: true, evaluate: (a = 0) => Math.cos(a), partials: (x) => [neg(call("sin", at(x, 0)))] },
};

export function evaluate(expression: Expression, inputs: readonly number[]): number {
  switch (expression.kind) {
    case "input":
      return inputs[expression.index] ?? Number.NaN;
    case "constant":
      return expression.value;
    case "call":
      return functions[expression.fn].evaluate(...expression.args.map((arg) => evaluate(arg, inputs)));
  }
}

/** Replaces input i by replacements[i]. */
export function substitute(expression: Expression, replacements: readonly Expression[]): Expression {
  switch (expression.kind) {
    case "input":
      return replacements[expression.index] ?? expression;
    case "constant":
      return expression;
    case "call":
      return call(expression.fn, ...expression.args.map((arg) => substitute(arg, replacements)));
  }
}

/** d expression / d input `index`. */
export function derivative(expression: Expression, index: number): Expression {
  switch (expression.kind) {
    case "input":
      return expression.index === index ? one : zero;
    case "constant":
      return zero;
    case "call": {
      const partials = functions[expression.fn].partials(expression.args, expression);
      let sum: Expression = zero;
      for (const [i, arg] of expression.args.entries()) {
        sum = add(sum, mul(partials[i] ?? zero, derivative(arg, index)));
      }
      return sum;
    }
  }
}

/** Which inputs the expression reads. */
export function inputsOf(expression: Expression, found: Set<number> = new Set()): Set<number> {
  if (expression.kind === "input") found.add(expression.index);
  if (expression.kind === "call") for (const arg of expression.args) inputsOf(arg, found);
  return found;
}

interface Complexity {
  readonly calls: number;
  readonly dear: number;
}

/** Fusion and cost reports ask for the same expressions over and over. */
const complexities = new WeakMap<Expression, Complexity>();

/** Distinct calls in the expression (shared subexpressions once) and how many of them are dear. */
export function complexity(expression: Expression): Complexity {
  const known = complexities.get(expression);
  if (known !== undefined) return known;
  const found = countCalls(expression);
  complexities.set(expression, found);
  return found;
}

function countCalls(expression: Expression): Complexity {
  const seen = new Set<string>();
  let dear = 0;
  const visit = (e: Expression): void => {
    if (e.kind !== "call") return;
    const key = formatExpression(e);
    if (seen.has(key)) return;
    seen.add(key);
    if (functions[e.fn].dear) dear++;
    for (const arg of e.args) visit(arg);
  };
  visit(expression);
  return { calls: seen.size, dear };
}

const infix: { readonly [F in ElementFunction]?: string } = { add: "+", sub: "-", mul: "*", div: "/" };

/** The expression as text, inputs as x0, x1, …: for printing and as a key for equality. */
export function formatExpression(expression: Expression): string {
  switch (expression.kind) {
    case "input":
      return `x${expression.index}`;
    case "constant":
      return String(expression.value);
    case "call": {
      const args = expression.args.map(formatExpression);
      const sign = infix[expression.fn];
      return sign === undefined ? `${expression.fn}(${args.join(", ")})` : `(${args.join(` ${sign} `)})`;
    }
  }
}
