// Launch of s4d_kernel_gradient (kernels/s4d_kernel).
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { S4dKernelGradientAttributes } from "./op.ts";

export const lower: WasmLowering<S4dKernelGradientAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [channels = 0, modes = 0] = required(inputs[1], "A_log_real").shape;
  const length = required(inputs[4], "dK").shape[1] ?? 0;
  const blocks = Math.ceil(length / 64);
  // A discretised pair of modes with its sums and what its powers are made of, dK padded to whole blocks, the powers and derivatives, their
  // products, all discretised pairs.
  const perThread = (1344 + 256 * blocks + 16 * modes * (64 + blocks) + 192 * Math.ceil(modes / 2) + 63) & ~63;
  emit.command("s4d_kernel_gradient", [
    ...inputs,
    ...outputs,
    emit.scratch(emit.threads * perThread),
    perThread,
    channels,
    modes,
    length,
    attributes.discretization === "euler" ? 1 : 0,
  ]);
};
