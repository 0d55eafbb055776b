// Accessors (see shader.ts) that compute elements instead of loading them: the text of an elementwise expression, or of a short product.
import { type Expression, inputsOf } from "../../graph/expression.ts";
import { sizeOf } from "../../graph/shape.ts";
import { expressionCode } from "../../ops/map/wgsl.ts";
import { RuntimeError } from "../types.ts";
import type { Binding, GpuTensor } from "./lowering.ts";

/** The accessor to write: of a tensor with this shape, from element `first` on. */
interface Wanted {
  readonly name: string;
  readonly width: 1 | 4;
  readonly first: number;
  readonly shape: readonly number[];
}

export interface Accessor {
  readonly code: string;
  readonly bindings: Readonly<Record<string, Binding | undefined>>;
}

/** name_load(i), and name_load4(i) where the width is 4: the expression over broadcast inputs. */
export function mapAccessor(
  { name, width, first, shape }: Wanted,
  expression: Expression,
  inputs: readonly (GpuTensor | undefined)[],
): Accessor {
  const prefix = `${name}_made_`;
  const type = `${prefix}V`;
  const { statements, result } = expressionCode(expression, prefix);
  const bindings: Record<string, Binding> = {};
  const lines: string[] = [];
  for (const i of inputsOf(expression)) {
    const tensor = inputs[i];
    if (tensor === undefined) throw new RuntimeError("an input of an inlined map is missing");
    const source = `${name}_in${i}`;
    const { value, width: inputWidth } = inputValue(source, tensor.shape, shape, width, first);
    bindings[source] = { tensor, access: "read", width: inputWidth };
    lines.push(`let x${i} = ${type}(${value});`);
  }
  const code = [
    `alias ${type} = ${width === 4 ? "vec4<f32>" : "f32"};`,
    `#include "common/math.wgsl" as ${prefix}`,
    `fn ${name}_load${width === 4 ? "4" : ""}(i: u32) -> ${type} {`,
    ...[`let e = ${width}u * i + ${first}u;`, ...lines, ...statements].map((line) => `  ${line}`),
    `  return ${type}(${result});`,
    "}",
  ];
  return { code: code.join("\n"), bindings };
}

/** What an input broadcast to `shape` has at elements e … e + width - 1, and how many of its elements are read at a time. */
function inputValue(
  name: string,
  input: readonly number[],
  shape: readonly number[],
  width: 1 | 4,
  first: number,
): { readonly value: string; readonly width: 1 | 4 } {
  if (sizeOf(input) === 1) return { value: `${name}_load(0u)`, width: 1 };
  const axes = broadcastAxes(input, shape);
  if (width === 1) return { value: `${name}_load(${elementIndex(axes, "e")})`, width: 1 };
  const inner = axes[0];
  if (inner !== undefined && inner.size % 4 === 0 && first % 4 === 0) {
    const index = elementIndex(axes, "e");
    if (inner.step === 0) return { value: `${name}_load(${index})`, width: 1 };
    return { value: `${name}_load4((${index}) / 4u)`, width: 4 };
  }
  const each = [0, 1, 2, 3].map((k) => `${name}_load(${elementIndex(axes, `(e + ${k}u)`)})`);
  return { value: each.join(", "), width: 1 };
}

interface Axis {
  readonly size: number;
  /** Elements of the input from one index to the next; 0 where it is broadcast. */
  readonly step: number;
}

/** The axes of `shape` from the innermost out, neighbours joined where the input runs through both alike. */
function broadcastAxes(input: readonly number[], shape: readonly number[]): Axis[] {
  const axes: Axis[] = [];
  let stride = 1;
  for (let back = 1; back <= shape.length; back++) {
    const size = shape.at(-back) ?? 1;
    const own = input.at(-back) ?? 1;
    if (size === 1) continue;
    const step = own === 1 || back > input.length ? 0 : stride;
    const last = axes.at(-1);
    if (last !== undefined && (step === 0) === (last.step === 0)) {
      axes[axes.length - 1] = { size: last.size * size, step: last.step };
    } else axes.push({ size, step });
    stride *= own;
  }
  return axes;
}

/** The input's element for element `e` of the whole. The outermost axis is not reduced, so that its size (batch, time) is in no text. */
function elementIndex(axes: readonly Axis[], e: string): string {
  let stride = 1;
  const terms: string[] = [];
  for (const [i, { size, step }] of axes.entries()) {
    if (step > 0) {
      const along = stride === 1 ? e : `${e} / ${stride}u`;
      const index = i === axes.length - 1 ? along : `${along} % ${size}u`;
      terms.push(step === 1 ? `(${index})` : `(${index}) * ${step}u`);
    }
    stride *= size;
  }
  return terms.join(" + ") || "0u";
}

/** Element (row, column) of x · weightᵀ. */
export function productAccessor(
  { name, width, first, shape }: Wanted,
  [x, weight]: readonly (GpuTensor | undefined)[],
): Accessor {
  if (x === undefined || weight === undefined) throw new RuntimeError("an input of an inlined product is missing");
  const columns = shape.at(-1) ?? 1;
  const depth = x.shape.at(-1) ?? 1;
  const vector = depth % 4 === 0;
  const [step, sum] = vector
    ? [depth / 4, `dot(${name}_in0_load4(row + k), ${name}_in1_load4(column + k))`]
    : [depth, `${name}_in0_load(row + k) * ${name}_in1_load(column + k)`];
  const code = [
    `fn ${name}_load(i: u32) -> f32 {`,
    `  let row = (i + ${first}u) / ${columns}u * ${step}u;`,
    `  let column = (i + ${first}u) % ${columns}u * ${step}u;`,
    "  var sum = 0.0;",
    `  for (var k = 0u; k < ${step}u; k++) { sum += ${sum}; }`,
    "  return sum;",
    "}",
    `fn ${name}_load4(i: u32) -> vec4<f32> {`,
    `  return vec4<f32>(${[0, 1, 2, 3].map((k) => `${name}_load(4u * i + ${k}u)`).join(", ")});`,
    "}",
  ];
  if (width === 1) code.splice(-3);
  const bindings: Record<string, Binding> = {
    [`${name}_in0`]: { tensor: x, access: "read", width: vector ? 4 : 1 },
    [`${name}_in1`]: { tensor: weight, access: "read", width: vector ? 4 : 1 },
  };
  return { code: code.join("\n"), bindings };
}
