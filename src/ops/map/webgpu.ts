// Dispatch of map: the expression and the walk over its inputs become WGSL; kernels/map/map.wgsl is what surrounds them.
import { inputsOf } from "../../graph/expression.ts";
import { sizeOf } from "../../graph/shape.ts";
import { type Binding, type GpuLowering, part, read, rowRuns, spread, write } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import { collapse } from "./collapse.ts";
import type { MapAttributes } from "./op.ts";
import { expressionCode } from "./wgsl.ts";

const WORKGROUP = 64;

export const lower: GpuLowering<MapAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const output = required(outputs[0], "map output");
  const operands = inputs.map((tensor) => required(tensor, "map input"));
  const total = sizeOf(output.shape);
  if (total === 0) return;
  const { sizes, strides } = collapse(
    output.shape,
    operands.map(({ shape }) => shape),
  );
  const isStream = operands.map(({ shape }) => sizeOf(shape) === total);
  // Four elements at a time where every input has them side by side, or one for all four.
  const sideBySide = strides.every(
    ([inner = 0, ...outer], i) => isStream[i] || inner === 0 || (inner === 1 && outer.every((step) => step % 4 === 0)),
  );
  const width = (sizes[0] ?? 1) % 4 === 0 && sideBySide ? 4 : 1;
  const used = inputsOf(attributes.expression);
  const axes = sizes.map((_, axis) => axis);
  const uniforms: Record<string, number> = {};
  const walks = operands.some((_, i) => used.has(i) && !isStream[i] && sizeOf(operands[i]?.shape ?? []) > 1);
  const lines: string[] = [];
  if (walks) {
    lines.push(`var rest = i * ${width}u + uniforms.first;`);
    for (const axis of axes) {
      uniforms[`size_${axis}`] = sizes[axis] ?? 1;
      lines.push(`let c${axis} = rest % uniforms.size_${axis}; rest = rest / uniforms.size_${axis};`);
    }
  }
  for (const [i, operand] of operands.entries()) {
    if (!used.has(i)) continue;
    const load = width === 4 ? `x${i}_load4` : `x${i}_load`;
    if (isStream[i]) lines.push(`let x${i} = ${load}(i);`);
    else if (sizeOf(operand.shape) === 1) lines.push(`let x${i} = V(x${i}_load(0u));`);
    else {
      const terms = axes.flatMap((axis) => {
        const stride = strides[i]?.[axis] ?? 0;
        if (stride === 0) return [];
        uniforms[`stride_${i}_${axis}`] = stride;
        return [`c${axis} * uniforms.stride_${i}_${axis}`];
      });
      const at = terms.join(" + ");
      const sharesFour = width === 4 && strides[i]?.[0] === 0;
      lines.push(
        `let x${i} = ${sharesFour ? `V(x${i}_load(${at}))` : width === 4 ? `${load}((${at}) >> 2u)` : `${load}(${at})`};`,
      );
    }
  }
  const { statements, result } = expressionCode(attributes.expression);
  lines.push(...statements, `y_store${width === 4 ? "4" : ""}(i, V(${result}));`);
  const source = `fn compute(i: u32) {\n  ${lines.join("\n  ")}\n}\n#include "map/map.wgsl"\n`;
  for (const { first, rows: count } of rowRuns(total, 1, "f32", emit.device)) {
    const bindings: Record<string, Binding | undefined> = { y: write(part(output, first, count), width) };
    for (const [i, operand] of operands.entries()) {
      if (!used.has(i)) continue;
      const walksIn4 = width === 4 && (isStream[i] || strides[i]?.[0] === 1);
      bindings[`x${i}`] = read(isStream[i] ? part(operand, first, count) : operand, walksIn4 ? 4 : 1);
    }
    emit.dispatch({
      kernel: "map",
      source,
      constants: { WIDTH: width, WORKGROUP },
      uniforms: { count: count / width, first, zero: 0, ...uniforms },
      bindings,
      workgroups: spread(Math.ceil(count / width / WORKGROUP)),
      reason: width === 4 ? "four elements a thread" : "an element a thread",
    });
  }
};
