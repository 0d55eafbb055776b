// Launch of causal_conv (kernels/causal_conv): the sums, then the window, which may replace the one before.
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { CausalConvAttributes } from "./op.ts";

export const lower: WasmLowering<CausalConvAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [x, w, bias, past] = inputs;
  const [y, present] = outputs;
  const [batch = 0, tokens = 0, channels = 0] = required(x, "x").shape;
  const taps = required(w, "w").shape[1] ?? 0;
  const silu = attributes.activation === "silu" ? 1 : 0;
  if (y) emit.command("causal_conv", [x, w, bias, past, y, batch, tokens, channels, taps, silu]);
  if (present && taps > 1) emit.command("causal_conv_present", [x, past, present, batch, tokens, channels, taps]);
};
