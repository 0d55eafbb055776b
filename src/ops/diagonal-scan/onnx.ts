// diagonal_scan in ONNX from primitives: complex states at every token, by a scan of logarithmic depth whose decays are powers of
// one number per mode.
import { arithmetic, END } from "../../formats/onnx/forms/arithmetic.ts";
import { LEVELS, TIME } from "../../formats/onnx/forms/decaying.ts";
import { prefixStates, type Values } from "../../formats/onnx/forms/prefix.ts";
import { type OnnxEmitter, type OnnxLowering, present, type Value } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import type { DiagonalScanAttributes } from "./op.ts";

interface Complex {
  readonly re: Value;
  readonly im: Value;
}

const complex = ([re, im]: Values): Complex => ({ re: present(re, "real"), im: present(im, "imaginary") });

function product(a: Complex, b: Complex, emit: OnnxEmitter): Complex {
  const { add, sub, mul } = arithmetic(emit);
  return { re: sub(mul(a.re, b.re), mul(a.im, b.im)), im: add(mul(a.re, b.im), mul(a.im, b.re)) };
}

interface Mode {
  /** Ā, [D, N/2]. */
  readonly decay: Complex;
  /** B̄, [D, N/2]. */
  readonly drive: Complex;
}

/** As `discretise` of s4d-kernel computes it. */
function discretise(logDt: Value, logReal: Value, imaginary: Value, method: string, emit: OnnxEmitter): Mode {
  const { add, sub, mul, div, exp, unsqueeze } = arithmetic(emit);
  const fn = (name: string, x: Value): Value => emit.node(name, [x]);
  const rate = { re: fn("Neg", exp(logReal)), im: imaginary };
  const delta = unsqueeze(exp(logDt), 1);
  const squared = add(mul(rate.re, rate.re), mul(rate.im, rate.im));
  const one = emit.floats([1]);
  if (method === "euler") {
    const step = emit.node("Min", [delta, div(fn("Neg", rate.re), squared)]);
    const zero = mul(step, emit.floats([0]));
    return { decay: { re: add(one, mul(rate.re, step)), im: mul(rate.im, step) }, drive: { re: step, im: zero } };
  }
  // exp(x + iy) − 1 without cancellation near zero, with expm1(x) = (e^x + 1) tanh(x/2).
  const [x, y] = [mul(delta, rate.re), mul(delta, rate.im)];
  const two = emit.floats([2]);
  const expm1 = mul(add(exp(x), one), fn("Tanh", div(x, two)));
  const sine = fn("Sin", div(y, two));
  const increment = {
    re: sub(mul(expm1, fn("Cos", y)), mul(two, mul(sine, sine))),
    im: mul(exp(x), fn("Sin", y)),
  };
  const reciprocal = { re: div(rate.re, squared), im: fn("Neg", div(rate.im, squared)) };
  return {
    decay: { re: add(one, increment.re), im: increment.im },
    drive: product(increment, reciprocal, emit),
  };
}

export const toOnnx: OnnxLowering<DiagonalScanAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const { add, sub, mul, slice, concat, unsqueeze, squeeze } = arithmetic(emit);
  const [u, logDt, logReal, imaginary, c, h0] = inputs;
  const { shape } = present(tensors[0], "u");
  const modes = present(tensors[2], "A_log_real").shape;
  const [batch = 1, time = 1] = shape;
  const { decay, drive } = discretise(
    present(logDt, "log_dt"),
    present(logReal, "A_log_real"),
    present(imaginary, "A_imag"),
    attributes.discretization,
    emit,
  );
  const parts = (x: Value, axis: number): Complex =>
    complex([0, 1].map((i) => squeeze(slice(x, axis, i, i + 1), axis)));
  const weight = product(parts(present(c, "C"), 2), drive, emit);
  // Ā^(2^level): what an element of that level decays the state before it by.
  const powers = [decay];
  const power = (level: number): Complex => {
    for (let last = powers.at(-1); last !== undefined && powers.length <= level; last = powers.at(-1))
      powers.push(product(last, last, emit));
    return present(powers[level], "power");
  };
  const whole = emit.sizes([batch, time, ...modes]);
  const real = emit.node("Expand", [unsqueeze(masked(present(u, "u"), 1, emit), 3), whole]);
  const past = h0 === undefined ? undefined : parts(unsqueeze(h0, TIME), 4);
  const states = complex(
    prefixStates(
      {
        axis: TIME,
        length: emit.sizes([time]),
        levels: LEVELS,
        decays: [],
        inputs: [real, emit.node("Expand", [emit.floats([0]), whole])],
        initial: past && [past.re, past.im],
        compose: () => [],
        advance: (earlier, _, later, level) => {
          const old = product(power(level), complex(earlier), emit);
          const { re, im } = complex(later);
          return [add(old.re, re), add(old.im, im)];
        },
      },
      emit,
    ),
  );
  const read = sub(mul(states.re, weight.re), mul(states.im, weight.im));
  const sum = emit.node("ReduceSum", [read, emit.integers([3])], { attributes: { keepdims: 0 } });
  const final = [states.re, states.im].map((x) => unsqueeze(squeeze(slice(x, TIME, -1, END), TIME), 3));
  return [mul(sum, emit.floats([2])), concat(final, 3)];
};
