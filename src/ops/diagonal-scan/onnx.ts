// diagonal_scan in ONNX from primitives: complex states at every token, by a scan of logarithmic depth whose decays are powers of
// one number per mode.
import { arithmetic, END } from "../../formats/onnx/forms/arithmetic.ts";
import { TIME } from "../../formats/onnx/forms/decaying.ts";
import { levelsFor, prefixStates, type Values } from "../../formats/onnx/forms/prefix.ts";
import { type OnnxForms, type OnnxLowering, present } from "../../formats/onnx/lowering.ts";
import { masked } from "../../formats/onnx/recurrence.ts";
import { type ComplexValue, complexParts, complexProduct, discretised } from "../s4d-kernel/onnx-parameters.ts";
import { toScan } from "./onnx-scan.ts";
import type { DiagonalScanAttributes } from "./op.ts";

const complex = ([re, im]: Values): ComplexValue => ({ re: present(re, "real"), im: present(im, "imaginary") });

const toPortableOnnx: OnnxLowering<DiagonalScanAttributes> = ({ tensors, inputs, attributes }, emit) => {
  const { add, sub, mul, slice, concat, unsqueeze, squeeze } = arithmetic(emit);
  const [u, logDt, logReal, imaginary, c, h0] = inputs;
  const { shape } = present(tensors[0], "u");
  const modes = present(tensors[2], "A_log_real").shape;
  const [batch = 1, time = 1] = shape;
  const parameters = [present(logDt, "log_dt"), present(logReal, "A_log_real"), present(imaginary, "A_imag")] as const;
  const { decay, drive } = discretised(parameters, attributes.discretization, emit);
  const weight = complexProduct(complexParts(present(c, "C"), emit), drive, emit);
  // Ā^(2^level): what an element of that level decays the state before it by.
  const powers = [decay];
  const power = (level: number): ComplexValue => {
    for (let last = powers.at(-1); last !== undefined && powers.length <= level; last = powers.at(-1))
      powers.push(complexProduct(last, last, emit));
    return present(powers[level], "power");
  };
  const whole = emit.sizes([batch, time, ...modes]);
  const real = emit.node("Expand", [unsqueeze(masked(present(u, "u"), 1, emit), 3), whole]);
  const past = h0 === undefined ? undefined : complexParts(unsqueeze(h0, TIME), emit);
  const states = complex(
    prefixStates(
      {
        decayShape: [],
        inputShape: [batch, time, ...modes],
        axis: TIME,
        length: emit.sizes([time]),
        levels: levelsFor(emit.longest),
        decays: [],
        inputs: [real, emit.node("Expand", [emit.floats([0]), whole])],
        initial: past && [past.re, past.im],
        compose: () => [],
        advance: (earlier, _, later, level) => {
          const old = complexProduct(power(level), complex(earlier), emit);
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

export const toOnnx: OnnxForms<DiagonalScanAttributes> = { portable: toPortableOnnx, scan: toScan };
