// The parameters that every S4D op takes, and their discretisation as references compute it.
import { fixedDimAt, formatShape, GraphError, type Shape, sameShape, type TensorType } from "../../graph/shape.ts";
import { required } from "../types.ts";

/**
 * How the continuous system x' = A x + u becomes a recurrence h ← Ā h + B̄ u with step Δ:
 * - `zoh`, zero-order hold: Ā = exp(ΔA), B̄ = (Ā − 1) / A; stable for every Δ, because Re A < 0;
 * - `euler`, forward Euler: Ā = 1 + ΔA, B̄ = Δ; stable only while Δ ≤ −2 Re A / |A|². Each mode's Δ is therefore
 *   limited to −Re A / |A|², where |1 + ΔA| is smallest: every mode decays, and beyond the limit a larger Δ no longer
 *   speeds a mode up. Modes of low frequency, or a small Δ, are Euler steps as they are written.
 */
export type Discretization = "zoh" | "euler";

export const PARAMETER_NAMES = ["log_dt", "A_log_real", "A_imag", "C"] as const;

/** Sizes found in the parameters log_dt [D], A_log_real [D, M], A_imag [D, M], C [D, M, 2]. */
export interface S4dSizes {
  readonly channels: number;
  /** M: complex modes per channel, each standing for a conjugate pair. */
  readonly modes: number;
}

/** Checks the four parameters; throws GraphError naming `op` and the parameter that does not fit. */
export function checkS4dParameters(op: string, parameters: readonly (TensorType | undefined)[]): S4dSizes {
  for (const [i, name] of PARAMETER_NAMES.entries()) {
    const parameter = parameters[i];
    if (parameter === undefined) throw new GraphError(`${op}: ${name} is missing`);
    if (parameter.dtype !== "f32") throw new GraphError(`${op}: ${name} is ${parameter.dtype}, not f32`);
  }
  const rates = required(parameters[1], "A_log_real").shape;
  if (rates.length !== 2) throw new GraphError(`${op}: A_log_real ${formatShape(rates)} is not [channels, modes]`);
  const [channels, modes] = [fixedDimAt(rates, 0), fixedDimAt(rates, 1)];
  const expected: readonly Shape[] = [[channels], rates, rates, [channels, modes, 2]];
  for (const [i, name] of PARAMETER_NAMES.entries()) {
    const [found, shape] = [required(parameters[i], name).shape, expected[i] ?? []];
    if (!sameShape(found, shape)) {
      throw new GraphError(`${op}: ${name} ${formatShape(found)} is not ${formatShape(shape)}`);
    }
  }
  return { channels, modes };
}

/** A complex number. */
export interface Complex {
  readonly re: number;
  readonly im: number;
}

export const complex = (re: number, im = 0): Complex => ({ re, im });
export const add = (a: Complex, b: Complex): Complex => complex(a.re + b.re, a.im + b.im);
export const scale = (a: Complex, factor: number): Complex => complex(a.re * factor, a.im * factor);
export const multiply = (a: Complex, b: Complex): Complex =>
  complex(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
export const reciprocal = (a: Complex): Complex => {
  const size = a.re * a.re + a.im * a.im;
  return complex(a.re / size, -a.im / size);
};

/** One mode in continuous and in discrete time. */
export interface Mode {
  /** A = −exp(A_log_real) + i · A_imag. */
  readonly rate: Complex;
  /** Δ; for `euler` after its limit. */
  readonly step: number;
  /** Whether `euler` limited Δ. */
  readonly limited: boolean;
  /** Ā − 1. */
  readonly increment: Complex;
  /** Ā. */
  readonly decay: Complex;
  /** B̄, for B = 1. */
  readonly drive: Complex;
}

export function discretise(logStep: number, logReal: number, imaginary: number, method: Discretization): Mode {
  const rate = complex(-Math.exp(logReal), imaginary);
  const delta = Math.exp(logStep);
  if (method === "euler") {
    const limit = -rate.re / (rate.re * rate.re + rate.im * rate.im);
    const step = Math.min(delta, limit);
    const increment = scale(rate, step);
    return { rate, step, limited: delta > limit, increment, decay: add(complex(1), increment), drive: complex(step) };
  }
  // exp(x + iy) − 1 without cancellation near zero.
  const [x, y] = [delta * rate.re, delta * rate.im];
  const increment = complex(Math.expm1(x) * Math.cos(y) - 2 * Math.sin(y / 2) ** 2, Math.exp(x) * Math.sin(y));
  const drive = multiply(increment, reciprocal(rate));
  return { rate, step: delta, limited: false, increment, decay: add(complex(1), increment), drive };
}
