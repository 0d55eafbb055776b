// Launch of rg_lru_gradient (kernels/rg_lru).
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { float } from "../../runtime/wasm/lowering.ts";
import { type RgLruAttributes, SMALLEST_FACTOR } from "../rg-lru/op.ts";
import { required } from "../types.ts";

export const lower: WasmLowering<RgLruAttributes> = ({ inputs, outputs }, emit) => {
  const [batch = 0, tokens = 0, channels = 0] = required(inputs[0], "x").shape;
  emit.command("rg_lru_gradient", [
    ...Array.from({ length: 7 }, (_, i) => inputs[i]),
    ...Array.from({ length: 3 }, (_, i) => outputs[i]),
    emit.scratch(64 * emit.threads),
    batch,
    tokens,
    channels,
    float(SMALLEST_FACTOR),
  ]);
};
