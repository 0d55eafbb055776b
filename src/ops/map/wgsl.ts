// Expressions as WGSL over V (f32 or vec4<f32>): each distinct subexpression becomes one `let`.
import { type ElementFunction, type Expression, formatExpression } from "../../graph/expression.ts";

const infix = (sign: string) => (a: string, b: string) => `${a} ${sign} ${b}`;

const code: { readonly [F in ElementFunction]: (a: string, b: string, c: string) => string } = {
  add: infix("+"),
  sub: infix("-"),
  mul: infix("*"),
  div: infix("/"),
  neg: (a) => `-${a}`,
  max: (a, b) => `max(${a}, ${b})`,
  min: (a, b) => `min(${a}, ${b})`,
  greater: (a, b) => `select(V(0.0), V(1.0), ${a} > ${b})`,
  where: (c, a, b) => `select(${b}, ${a}, ${c} != V(0.0))`,
  abs: (a) => `abs(${a})`,
  sqrt: (a) => `sqrt(${a})`,
  exp: (a) => `exp(${a})`,
  log: (a) => `log(${a})`,
  log1p: (a) => `log1p(${a})`,
  tanh: (a) => `tanh_safe(${a})`,
  sigmoid: (a) => `sigmoid(${a})`,
  softplus: (a) => `softplus(${a})`,
  erf: (a) => `erf(${a})`,
  sin: (a) => `sin(${a})`,
  cos: (a) => `cos(${a})`,
};

function literal(value: number): string {
  const single = Math.fround(value);
  if (single === Number.POSITIVE_INFINITY) return "V(bitcast<f32>(0x7f800000u + uniforms.zero))";
  if (single === Number.NEGATIVE_INFINITY) return "V(bitcast<f32>(0xff800000u + uniforms.zero))";
  if (Number.isNaN(single)) return "V(bitcast<f32>(0x7fc00000u + uniforms.zero))";
  const text = String(single);
  return `V(${/[.e]/.test(text) ? text : `${text}.0`})`;
}

/** What of the code below is declared in common/math.wgsl, or by the kernel (V). */
const DECLARED = /\b(V|tanh_safe|log1p|sigmoid|softplus|erf)\(/g;

/**
 * Statements that compute the expression from x0, x1, …, and the name of the result. `prefix`: what V and the functions of
 * common/math.wgsl are called, where the kernel includes them under other names.
 */
export function expressionCode(
  expression: Expression,
  prefix = "",
): {
  readonly statements: readonly string[];
  readonly result: string;
} {
  const prefixed = (text: string): string => text.replace(DECLARED, `${prefix}$1(`);
  const statements: string[] = [];
  const names = new Map<string, string>();
  const visit = (e: Expression): string => {
    if (e.kind === "input") return `x${e.index}`;
    if (e.kind === "constant") return prefixed(literal(e.value));
    const key = formatExpression(e);
    const known = names.get(key);
    if (known !== undefined) return known;
    const [a = "", b = "", c = ""] = e.args.map(visit);
    const name = `t${names.size}`;
    names.set(key, name);
    statements.push(`let ${name} = ${prefixed(code[e.fn](a, b, c))};`);
    return name;
  };
  const result = visit(expression);
  return { statements, result };
}

/** Whether no constant is infinite or NaN: those need a uniform, since WGSL can't write them. */
export function hasFiniteConstants(expression: Expression): boolean {
  if (expression.kind === "constant") return Number.isFinite(Math.fround(expression.value));
  return expression.kind === "input" || expression.args.every(hasFiniteConstants);
}
