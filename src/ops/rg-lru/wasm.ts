// Launch of rg_lru (kernels/rg_lru).
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { RgLruAttributes } from "./op.ts";

export const lower: WasmLowering<RgLruAttributes> = ({ inputs, outputs }, emit) => {
  const [x, logA, position, h0] = inputs;
  const [y, hT] = outputs;
  const [batch = 0, tokens = 0, channels = 0] = required(x, "x").shape;
  emit.command("rg_lru", [x, logA, position, h0, y, hT, batch, tokens, channels]);
};
