// Reference for s4d_kernel_gradient: the chain rule per mode, through complex numbers. A gradient g of a complex z is kept
// so that the loss changes by Re(g · dz).
import {
  add,
  type Complex,
  complex,
  type Discretization,
  discretise,
  type Mode,
  multiply,
  reciprocal,
  scale,
} from "../s4d-kernel/parameters.ts";
import { hostZeros, type Reference, required } from "../types.ts";
import type { S4dKernelGradientAttributes } from "./op.ts";

/** Gradients of A and of log Δ, from those of Ā and B̄. */
function throughDiscretisation(
  { rate, step, limited, decay, drive }: Mode,
  ofDecay: Complex,
  ofDrive: Complex,
  method: Discretization,
): { readonly ofRate: Complex; readonly ofLogStep: number } {
  if (method === "zoh") {
    // dĀ = Ā (A dΔ + Δ dA); dB̄ = (dĀ − B̄ dA) / A.
    const driven = multiply(ofDrive, reciprocal(rate));
    const total = multiply(add(ofDecay, driven), decay);
    return {
      ofRate: add(scale(total, step), scale(multiply(driven, drive), -1)),
      ofLogStep: step * multiply(total, rate).re,
    };
  }
  const ofStep = multiply(ofDecay, rate).re + ofDrive.re;
  const direct = scale(ofDecay, step);
  if (!limited) return { ofRate: direct, ofLogStep: step * ofStep };
  // Δ = −Re A / |A|².
  const { re, im } = rate;
  const size = (re * re + im * im) ** 2;
  return {
    ofRate: add(direct, complex((ofStep * (re * re - im * im)) / size, (-ofStep * 2 * re * im) / size)),
    ofLogStep: 0,
  };
}

export const reference: Reference<S4dKernelGradientAttributes> = (inputs, { discretization }) => {
  const [logDt, logReal, imaginary, c, dK] = inputs.map((input) => required(input, "s4d_kernel_gradient input").data);
  const [channels = 0, modes = 0] = inputs[1]?.shape ?? [];
  const length = inputs[4]?.shape[1] ?? 0;
  const gradients = inputs.slice(0, 4).map((input) => hostZeros(input?.shape ?? []));
  const [dLogDt, dLogReal, dImaginary, dC] = gradients.map((gradient) => gradient.data);
  if (dLogDt === undefined || dLogReal === undefined || dImaginary === undefined || dC === undefined) return gradients;
  for (let d = 0; d < channels; d++) {
    for (let i = d * modes; i < (d + 1) * modes; i++) {
      const mode = discretise(logDt?.[d] ?? 0, logReal?.[i] ?? 0, imaginary?.[i] ?? 0, discretization);
      const output = complex(c?.[2 * i] ?? 0, c?.[2 * i + 1] ?? 0);
      let [power, derivative, s0, s1] = [complex(1), complex(0), complex(0), complex(0)];
      for (let l = 0; l < length; l++) {
        const upstream = dK?.[d * length + l] ?? 0;
        s0 = add(s0, scale(power, upstream));
        s1 = add(s1, scale(derivative, upstream));
        derivative = add(multiply(derivative, mode.decay), power);
        power = multiply(power, mode.decay);
      }
      const ofWeight = scale(s0, 2);
      const ofDecay = scale(multiply(multiply(output, mode.drive), s1), 2);
      const ofOutput = multiply(ofWeight, mode.drive);
      const { ofRate, ofLogStep } = throughDiscretisation(mode, ofDecay, multiply(ofWeight, output), discretization);
      dC[2 * i] = ofOutput.re;
      dC[2 * i + 1] = -ofOutput.im;
      dLogReal[i] = ofRate.re * mode.rate.re;
      dImaginary[i] = -ofRate.im;
      dLogDt[d] = (dLogDt[d] ?? 0) + ofLogStep;
    }
  }
  return gradients;
};
