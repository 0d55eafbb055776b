// Launch of diagonal_scan (kernels/diagonal_scan).
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { DiagonalScanAttributes } from "./op.ts";

export const lower: WasmLowering<DiagonalScanAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [batch = 0, tokens = 0, channels = 0] = required(inputs[0], "u").shape;
  const modes = required(inputs[2], "A_log_real").shape[1] ?? 0;
  const [y, hT] = outputs;
  // Inputs and sums of 64 tokens, coefficients and states of four channels.
  const perThread = (1024 + 4096 + 64 * ((modes + 7) & ~7) + 32 * modes + 63) & ~63;
  emit.command("diagonal_scan", [
    ...Array.from({ length: 6 }, (_, i) => inputs[i]),
    y ?? emit.scratch(4 * batch * tokens * channels),
    hT,
    emit.scratch(emit.threads * perThread),
    perThread,
    batch,
    tokens,
    channels,
    modes,
    attributes.discretization === "euler" ? 1 : 0,
  ]);
};
