// S4D (Gu, Gupta, Goel & Ré 2022, arXiv 2206.11893): a diagonal state-space model per channel that does not depend on the
// input. Trained as a convolution by FFT, run as a recurrence.
import { add, input, mul, sigmoid } from "../graph/expression.ts";
import { constant, type Initialiser } from "../graph/leaves.ts";
import type { Tensor } from "../graph/types.ts";
import { diagonalScan } from "../ops/diagonal-scan/op.ts";
import { longConvolution } from "../ops/long-convolution/op.ts";
import { map } from "../ops/map/op.ts";
import { type S4dParameters, s4dKernel } from "../ops/s4d-kernel/op.ts";
import type { S4dSpec } from "../spec/types.ts";
import type { BlockContext } from "./context.ts";
import { activate, project, projectOut } from "./projections.ts";

/** x [B, T, d_model] → [B, T, d_model]. State: ssm [B, d_model, modes, 2], complex. */
export function s4d(x: Tensor, spec: S4dSpec, context: BlockContext): Tensor {
  const channels = context.width;
  const parameters = ssmParameters(spec, channels, context);
  const skip = context.parameter("D", [channels], { kind: "ones" }, { decay: false });
  const y = map([convolved(x, parameters, spec, context), x, skip], add(input(0), mul(input(1), input(2))));
  const activated = activate(y, spec.activation);
  if (spec.output === "linear") return projectOut(activated, "out_proj", context, spec.bias);
  const gate = project(activated, "out_gate", channels, context, spec.bias);
  return map([projectOut(activated, "out_proj", context, spec.bias), gate], mul(input(0), sigmoid(input(1))));
}

function convolved(x: Tensor, parameters: S4dParameters, spec: S4dSpec, context: BlockContext): Tensor {
  const { discretization } = spec;
  const modes = parameters.aImag.shape[1] ?? 0;
  const initialState = context.state("ssm", ["B", context.width, modes, 2]);
  if (initialState === undefined) return longConvolution(x, s4dKernel(parameters, { discretization }));
  const { output, finalState } = diagonalScan(x, parameters, { discretization, initialState });
  context.next("ssm", finalState);
  return output;
}

/** A = −exp(A_log_real) + i · A_imag. Complex modes stand for conjugate pairs; S4D-Real has d_state real modes. */
function ssmParameters(
  { d_state, A_init, dt_min, dt_max }: S4dSpec,
  channels: number,
  context: BlockContext,
): S4dParameters {
  const isReal = A_init === "s4d_real";
  const modes = isReal ? d_state : d_state / 2;
  const noDecay = { decay: false };
  const imaginary: Initialiser = A_init === "s4d_inv" ? { kind: "s4d_inverse" } : { kind: "arange", scale: Math.PI };
  const real: Initialiser = isReal ? { kind: "log_arange" } : { kind: "constant", value: Math.log(0.5) };
  return {
    logDt: context.parameter("log_dt", [channels], { kind: "log_uniform", low: dt_min, high: dt_max }, noDecay),
    aLogReal: context.parameter("A_log_real", [channels, modes], real, noDecay),
    aImag: isReal
      ? constant(new Array<number>(channels * modes).fill(0), [channels, modes])
      : context.parameter("A_imag", [channels, modes], imaginary, noDecay),
    c: context.parameter("C", [channels, modes, 2], { kind: "normal", std: Math.SQRT1_2 }, noDecay),
  };
}
