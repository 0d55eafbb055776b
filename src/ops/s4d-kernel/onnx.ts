// s4d_kernel in ONNX: the powers of Ā by doubling – those of 2n tokens are those of n, and the same times Ā^n – and their sum
// over the modes.
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { type Dim, fixedDimAt } from "../../graph/shape.ts";
import { type ComplexValue, complexParts, complexProduct, discretised } from "./onnx-parameters.ts";
import type { S4dKernelAttributes } from "./op.ts";

export const toOnnx: OnnxLowering<S4dKernelAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const [logDt, logReal, imaginary, c] = inputs;
  const parameters = [present(logDt, "log_dt"), present(logReal, "A_log_real"), present(imaginary, "A_imag")] as const;
  const { decay, drive } = discretised(parameters, attributes.discretization, emit);
  const sizes = present(tensors[1], "A_log_real").shape;
  const powers = powersOf(decay, [fixedDimAt(sizes, 0), fixedDimAt(sizes, 1)], attributes.length, emit);
  const weight = complexProduct(complexParts(present(c, "C"), emit), drive, emit);
  const { re } = complexProduct({ re: column(weight.re, emit), im: column(weight.im, emit) }, powers, emit);
  const sum = emit.node("ReduceSum", [re, emit.integers([1])], { attributes: { keepdims: 0 } });
  return [emit.node("Mul", [sum, emit.floats([2])])];
};

const column = (x: Value, emit: OnnxEmitter): Value => emit.node("Unsqueeze", [x, emit.integers([2])]);

/** base [D, modes] to the powers 0 … length − 1, [D, modes, length]. */
function powersOf(base: ComplexValue, [channels, modes]: readonly [number, number], length: Dim, emit: OnnxEmitter) {
  const size = channels * modes;
  const longest = typeof length === "number" ? Math.max(2, length) : emit.longest;
  // Beyond a shorter sequence nothing is added.
  const levels = Math.ceil(Math.log2(longest));
  let powers: ComplexValue = {
    re: emit.floats(new Float32Array(size).fill(1), [channels, modes, 1]),
    im: emit.floats(new Float32Array(size), [channels, modes, 1]),
  };
  let factor: ComplexValue = { re: column(base.re, emit), im: column(base.im, emit) };
  const [zero, axis] = [emit.integers([0]), emit.integers([2])];
  for (let level = 0; level < levels; level++) {
    // As many as are missing, which may be none.
    const missing = emit.node("Sub", [emit.sizes([length]), emit.integers([2 ** level])]);
    const count = emit.node("Max", [missing, zero]);
    const taken = (x: Value): Value => emit.node("Slice", [x, zero, count, axis]);
    const more = complexProduct({ re: taken(powers.re), im: taken(powers.im) }, factor, emit);
    const joined = (a: Value, b: Value): Value => emit.node("Concat", [a, b], { attributes: { axis: 2 } });
    powers = { re: joined(powers.re, more.re), im: joined(powers.im, more.im) };
    factor = complexProduct(factor, factor, emit);
  }
  return powers;
}
