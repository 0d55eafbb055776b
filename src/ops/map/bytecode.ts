// Compiles an elementwise expression to vector instructions: common subexpressions are computed once, multiply-adds and
// silu are fused, and registers are reused as soon as their value is dead. What runs them is kernels/common/bytecode.as.ts.
import { type ElementFunction, type Expression, functions } from "../../graph/expression.ts";

/** Numbers of the instructions in the kernel. */
export const opcodes = {
  move: 0,
  add: 1,
  sub: 2,
  mul: 3,
  div: 4,
  neg: 5,
  max: 6,
  min: 7,
  greater: 8,
  where: 9,
  abs: 10,
  sqrt: 11,
  exp: 12,
  log: 13,
  log1p: 14,
  tanh: 15,
  sigmoid: 16,
  softplus: 17,
  erf: 18,
  sin: 19,
  cos: 20,
  /** a · sigmoid(a) */
  silu: 21,
  /** a · sigmoid(a) · b */
  silu_mul: 22,
  /** a · b + c */
  mul_add: 23,
  /** c − a · b */
  mul_sub_from: 24,
  /** Derivative of a · sigmoid(a). */
  silu_gradient: 25,
  /** a · b · c */
  mul_mul: 26,
} as const satisfies { readonly [K in ElementFunction]: number } & Readonly<Record<string, number>>;

export type Opcode = keyof typeof opcodes;

export type Operand =
  | { readonly kind: "input"; readonly index: number }
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "register"; readonly index: number }
  | { readonly kind: "output" };

export interface Instruction {
  readonly opcode: Opcode;
  readonly target: Operand;
  readonly operands: readonly Operand[];
}

export interface VectorProgram {
  readonly instructions: readonly Instruction[];
  /** Registers needed at most. */
  readonly registers: number;
}

/** A value of the expression's graph; arguments are indices of earlier values. */
interface Value {
  readonly leaf?: Operand;
  opcode: Opcode;
  args: readonly number[];
  uses: number;
}

const commutative: ReadonlySet<Opcode> = new Set(["add", "mul", "max", "min"]);

export function compileExpression(expression: Expression): VectorProgram {
  const values: Value[] = [];
  const root = internValues(expression, values);
  countUses(values, root);
  fuseSiluGradient(values);
  fuse(values);
  return allocate(values, root);
}

/** Adds the distinct subexpressions to `values`, arguments first; returns the number of the whole. */
function internValues(expression: Expression, values: Value[]): number {
  const byKey = new Map<string, number>();
  const byExpression = new Map<Expression, number>();
  const add = (key: string, make: () => Value): number => {
    const known = byKey.get(key);
    if (known !== undefined) return known;
    byKey.set(key, values.length);
    return values.push(make()) - 1;
  };
  const constant = (value: number): number =>
    add(Object.is(value, -0) ? "#-0" : `#${value}`, () => ({
      leaf: { kind: "constant", value },
      opcode: "move",
      args: [],
      uses: 0,
    }));
  const isConstant = (i: number): boolean => values[i]?.leaf?.kind === "constant";
  const negated = (i: number): number | undefined => (values[i]?.opcode === "neg" ? values[i]?.args[0] : undefined);

  const callOf = (fn: ElementFunction, args: readonly number[]): number => {
    const [a = 0, b = 0, c = 0] = args;
    const leaves = args.map((arg) => values[arg]?.leaf);
    if (leaves.every((leaf) => leaf?.kind === "constant")) {
      return constant(functions[fn].evaluate(...leaves.map((leaf) => (leaf?.kind === "constant" ? leaf.value : 0))));
    }
    if (fn === "greater" && a === b) return constant(0);
    if (fn === "where") {
      const condition = values[a]?.leaf;
      if (condition?.kind === "constant") return condition.value !== 0 ? b : c;
      if (b === c) return b;
    }
    const [negativeA, negativeB] = [negated(a), negated(b)];
    if (fn === "add" && negativeB !== undefined) return callOf("sub", [a, negativeB]);
    if (fn === "add" && negativeA !== undefined) return callOf("sub", [b, negativeA]);
    if (fn === "sub" && negativeB !== undefined) return callOf("add", [a, negativeB]);
    // Constants go second: the kernels hold a second operand that does not vary in a register.
    const swap = commutative.has(fn) && (isConstant(a) || (a > b && !isConstant(b)));
    const ordered = swap ? [b, a] : args;
    return add(`${fn}(${ordered})`, () => ({ opcode: fn, args: ordered, uses: 0 }));
  };

  const visit = (e: Expression): number => {
    const known = byExpression.get(e);
    if (known !== undefined) return known;
    const value =
      e.kind === "input"
        ? add(`x${e.index}`, () => ({ leaf: { kind: "input", index: e.index }, opcode: "move", args: [], uses: 0 }))
        : e.kind === "constant"
          ? constant(e.value)
          : callOf(e.fn, e.args.map(visit));
    byExpression.set(e, value);
    return value;
  };
  return visit(expression);
}

/** Counts how often each value is an argument of one that the root needs. */
function countUses(values: readonly Value[], root: number): void {
  const needed = new Set<number>();
  const visit = (i: number): void => {
    const value = values[i];
    if (value === undefined) return;
    value.uses++;
    if (needed.has(i)) return;
    needed.add(i);
    value.args.forEach(visit);
  };
  visit(root);
}

/** Rewrites s + x · (s · (1 − s)), s = sigmoid(x), where s serves nothing else: the derivative of silu. */
function fuseSiluGradient(values: readonly Value[]): void {
  const other = (value: Value | undefined, arg: number, opcode: Opcode): Value | undefined => {
    if (value?.opcode !== "mul" || value.uses !== 1) return undefined;
    const [a = -1, b = -1] = value.args;
    const partner = a === arg ? values[b] : b === arg ? values[a] : undefined;
    return partner?.opcode === opcode && partner.uses === 1 ? partner : undefined;
  };
  for (const value of values) {
    if (value.opcode !== "add" || value.uses === 0) continue;
    const [a = -1, b = -1] = value.args;
    for (const [product, s] of [
      [a, b],
      [b, a],
    ] as const) {
      const sigmoid = values[s];
      const [x = -1] = sigmoid?.args ?? [];
      const input = values[x];
      if (sigmoid?.opcode !== "sigmoid" || sigmoid.uses !== 3 || input === undefined) continue;
      const slope = other(values[product], x, "mul");
      const rest = other(slope, s, "sub");
      const one = values[rest?.args[0] ?? -1]?.leaf;
      if (slope === undefined || rest === undefined || rest.args[1] !== s) continue;
      if (one?.kind !== "constant" || one.value !== 1) continue;
      for (const absorbed of [values[product], slope, rest, sigmoid]) if (absorbed !== undefined) absorbed.uses = 0;
      input.uses--;
      value.opcode = "silu_gradient";
      value.args = [x];
    }
  }
}

/** Rewrites pairs of instructions into one where the first serves nothing else. */
function fuse(values: readonly Value[]): void {
  const onlyHere = (i: number | undefined, opcode: Opcode): Value | undefined => {
    const value = i === undefined ? undefined : values[i];
    return value !== undefined && value.opcode === opcode && value.uses === 1 ? value : undefined;
  };
  const replace = (value: Value, absorbed: Value, opcode: Opcode, args: readonly number[]): void => {
    for (const arg of [...value.args, ...absorbed.args]) (values[arg] as Value).uses--;
    value.opcode = opcode;
    value.args = args;
    for (const arg of args) (values[arg] as Value).uses++;
  };
  for (const value of values) {
    if (value.uses === 0) continue;
    const [a = -1, b = -1] = value.args;
    for (const [first, second] of [
      [a, b],
      [b, a],
    ] as const) {
      if (value.opcode === "mul") {
        const sigmoid = onlyHere(second, "sigmoid");
        if (sigmoid?.args[0] === first) replace(value, sigmoid, "silu", [first]);
      }
      if (value.opcode === "mul") {
        const silu = onlyHere(first, "silu");
        if (silu !== undefined) replace(value, silu, "silu_mul", [silu.args[0] ?? -1, second]);
      }
      if (value.opcode === "mul") {
        const product = onlyHere(first, "mul");
        if (product !== undefined) replace(value, product, "mul_mul", [...product.args, second]);
      }
      if (value.opcode === "add") {
        const product = onlyHere(first, "mul");
        if (product !== undefined) replace(value, product, "mul_add", [...product.args, second]);
      }
    }
    if (value.opcode === "sub") {
      const product = onlyHere(b, "mul");
      if (product !== undefined) replace(value, product, "mul_sub_from", [...product.args, a]);
    }
  }
}

/** Orders the values so that few are alive at once (deeper operands first) and gives them registers. */
function allocate(values: readonly Value[], root: number): VectorProgram {
  const need = new Map<number, number>();
  const needOf = (i: number): number => {
    const known = need.get(i);
    if (known !== undefined) return known;
    const value = values[i];
    const below = (value?.args ?? []).map(needOf).sort((a, b) => b - a);
    const result = value?.leaf !== undefined ? 0 : Math.max(1, ...below.map((n, k) => n + k));
    need.set(i, result);
    return result;
  };

  const instructions: Instruction[] = [];
  const places = new Map<number, Operand>();
  const free: number[] = [];
  let registers = 0;
  const visit = (i: number): void => {
    const value = values[i];
    if (value === undefined || places.has(i)) return;
    if (value.leaf !== undefined) {
      places.set(i, value.leaf);
      return;
    }
    for (const arg of [...value.args].sort((a, b) => needOf(b) - needOf(a))) visit(arg);
    const operands = value.args.map((arg) => places.get(arg) as Operand);
    for (const arg of value.args) {
      const operand = values[arg];
      const place = places.get(arg);
      if (operand === undefined || --operand.uses > 0 || place?.kind !== "register") continue;
      free.push(place.index);
    }
    const target: Operand = i === root ? { kind: "output" } : { kind: "register", index: free.pop() ?? registers++ };
    places.set(i, target);
    instructions.push({ opcode: value.opcode, target, operands });
  };
  visit(root);
  const place = places.get(root);
  if (place !== undefined && place.kind !== "output") {
    instructions.push({ opcode: "move", target: { kind: "output" }, operands: [place] });
  }
  return { instructions, registers };
}
