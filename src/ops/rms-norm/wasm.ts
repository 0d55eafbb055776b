// Launch of rms_norm (kernels/rms_norm).
import { float, type WasmLowering, type Word } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { GateActivation, RmsNormAttributes } from "./op.ts";

/** The kernels' number for each activation. */
export const activationCode: { readonly [K in GateActivation]: number } = { none: 0, silu: 1, sigmoid: 2 };

/** The words [rows, channels, width, eps, scale, plus, gateAfter, activation] that forward and backward have in common. */
export function normWords(shape: readonly number[], a: RmsNormAttributes): Word[] {
  const channels = shape.at(-1) ?? 1;
  const rows = shape.slice(0, -1).reduce((n, d) => n * d, 1);
  return [
    rows,
    channels,
    channels / a.groups,
    float(a.eps),
    float(a.scale),
    float(a.mode === "one_plus_weight" ? 1 : 0),
    a.normBeforeGate ? 1 : 0,
    activationCode[a.gateActivation],
  ];
}

export const lower: WasmLowering<RmsNormAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [x, weight, gate, residual] = inputs;
  const [y, sum] = outputs;
  emit.command("rms_norm", [x, weight, gate, residual, y, sum, ...normWords(required(x, "x").shape, attributes)]);
};
