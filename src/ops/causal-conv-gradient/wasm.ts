// Launch of causal_conv_gradient (kernels/causal_conv): the walk over tokens, then the sums over the batch.
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import type { CausalConvAttributes } from "../causal-conv/op.ts";
import { required } from "../types.ts";

export const lower: WasmLowering<CausalConvAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [x, w, bias, past, dy, dpresent] = inputs;
  const [dx, dw, dbias, dpast] = outputs;
  const [batch = 0, tokens = 0, channels = 0] = required(x, "x").shape;
  const taps = required(w, "w").shape[1] ?? 0;
  // One batch row has nothing to add up.
  const partialW = (batch === 1 && dw) || emit.scratch(batch * channels * taps * 4);
  const partialBias = (batch === 1 && dbias) || emit.scratch(batch * channels * 4);
  const perThread = taps > 4 ? tokens * 16 : 64;
  const scratch = emit.scratch(emit.threads * perThread);
  const silu = attributes.activation === "silu" ? 1 : 0;
  emit.command("causal_conv_gradient", [
    ...[x, w, bias, past, dy, dpresent, dx, dpast, partialW, partialBias, scratch],
    ...[perThread, batch, tokens, channels, taps, silu],
  ]);
  if (partialW !== dw || partialBias !== dbias) {
    emit.command("causal_conv_gradient_sum", [partialW, partialBias, dw, dbias, batch, channels, taps]);
  }
};
