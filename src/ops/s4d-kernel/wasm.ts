// Launch of s4d_kernel (kernels/s4d_kernel).
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { S4dKernelAttributes } from "./op.ts";

export const lower: WasmLowering<S4dKernelAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [channels = 0, modes = 0] = required(inputs[1], "A_log_real").shape;
  const length = Number(attributes.length);
  const blocks = Math.ceil(length / 64);
  // One discretised pair of modes and what its powers are made of, the powers within a block, the weights of the blocks.
  const perThread = (512 + 2 * modes * (64 + blocks) * 4 + 63) & ~63;
  emit.command("s4d_kernel", [
    ...inputs,
    required(outputs[0], "K"),
    emit.scratch(emit.threads * perThread),
    perThread,
    channels,
    modes,
    length,
    attributes.discretization === "euler" ? 1 : 0,
  ]);
};
