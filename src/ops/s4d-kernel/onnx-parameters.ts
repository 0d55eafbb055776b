// The parameters of S4D in ONNX: complex values as pairs, and the discretisation as parameters.ts computes it.
import { type OnnxEmitter, present, type Value } from "../../formats/onnx/lowering.ts";
import type { Discretization } from "./parameters.ts";

/** A complex value as its two parts. */
export interface ComplexValue {
  readonly re: Value;
  readonly im: Value;
}

export const complexProduct = (a: ComplexValue, b: ComplexValue, emit: OnnxEmitter): ComplexValue => {
  const product = (x: Value, y: Value): Value => emit.node("Mul", [x, y]);
  return {
    re: emit.node("Sub", [product(a.re, b.re), product(a.im, b.im)]),
    im: emit.node("Add", [product(a.re, b.im), product(a.im, b.re)]),
  };
};

/** The parts of x [.., 2]. */
export function complexParts(x: Value, emit: OnnxEmitter): ComplexValue {
  const [re, im] = [0, 1].map((part) => emit.node("Gather", [x, emit.integer(part)], { attributes: { axis: -1 } }));
  return { re: present(re, "real part"), im: present(im, "imaginary part") };
}

/** Ā and B̄ [D, modes] from log_dt [D], A_log_real and A_imag [D, modes]; see `Discretization`. */
export function discretised(
  [logDt, logReal, imaginary]: readonly [Value, Value, Value],
  method: Discretization,
  emit: OnnxEmitter,
): { readonly decay: ComplexValue; readonly drive: ComplexValue } {
  const node = (op: string, ...values: Value[]): Value => emit.node(op, values);
  const number = (value: number): Value => emit.floats([value]);
  const speed = node("Exp", logReal);
  const delta = emit.node("Unsqueeze", [node("Exp", logDt), emit.integers([1])]);
  const size = node("Add", node("Mul", speed, speed), node("Mul", imaginary, imaginary));
  if (method === "euler") {
    const step = node("Min", delta, node("Div", speed, size));
    return {
      decay: { re: node("Sub", number(1), node("Mul", step, speed)), im: node("Mul", step, imaginary) },
      drive: { re: step, im: number(0) },
    };
  }
  // exp(x + iy) − 1 without cancellation near zero: exp(x) − 1 = tanh(x / 2) · (exp(x) + 1).
  const [x, y] = [node("Neg", node("Mul", delta, speed)), node("Mul", delta, imaginary)];
  const grown = node("Exp", x);
  const minusOne = node("Mul", node("Tanh", node("Mul", x, number(0.5))), node("Add", grown, number(1)));
  const half = node("Sin", node("Mul", y, number(0.5)));
  const increment = {
    re: node("Sub", node("Mul", minusOne, node("Cos", y)), node("Mul", number(2), node("Mul", half, half))),
    im: node("Mul", grown, node("Sin", y)),
  };
  const reciprocal = { re: node("Neg", node("Div", speed, size)), im: node("Neg", node("Div", imaginary, size)) };
  return {
    decay: { re: node("Add", increment.re, number(1)), im: increment.im },
    drive: complexProduct(increment, reciprocal, emit),
  };
}
