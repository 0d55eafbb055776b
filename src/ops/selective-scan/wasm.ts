// Launch of selective_scan (kernels/selective_scan).
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { SelectiveScanAttributes } from "./op.ts";

export const lower: WasmLowering<SelectiveScanAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [y, hT, starts] = outputs;
  const [batch = 0, tokens = 0, channels = 0] = required(inputs[0], "u").shape;
  const states = required(inputs[2], "A").shape[1] ?? 0;
  const padded = (states + 3) & ~3;
  const perThread = (16384 + (2 * 64 + 3 * 16) * padded * 4 + 63) & ~63;
  emit.command("selective_scan", [
    ...Array.from({ length: 9 }, (_, i) => inputs[i]),
    y ?? emit.scratch(batch * tokens * channels * 4),
    hT ?? emit.scratch(batch * channels * states * 4),
    starts,
    emit.scratch(emit.threads * perThread),
    perThread,
    batch,
    tokens,
    channels,
    states,
    attributes.deltaSoftplus ? 1 : 0,
  ]);
};
