// Launch of wkv_gradient (kernels/wkv).
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { WkvAttributes } from "../wkv/op.ts";

export const lower: WasmLowering<WkvAttributes> = ({ inputs, outputs }, emit) => {
  const [batch = 0, tokens = 0, channels = 0] = required(inputs[0], "k").shape;
  emit.command("wkv_gradient", [
    ...Array.from({ length: 8 }, (_, i) => inputs[i]),
    ...Array.from({ length: 5 }, (_, i) => outputs[i]),
    emit.scratch(320 * emit.threads),
    batch,
    tokens,
    channels,
  ]);
};
