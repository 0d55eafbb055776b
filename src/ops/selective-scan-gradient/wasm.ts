// Launch of selective_scan_gradient (kernels/selective_scan): the walk over tokens, then the sums of partial results.
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import type { SelectiveScanAttributes } from "../selective-scan/op.ts";
import { required } from "../types.ts";

export const lower: WasmLowering<SelectiveScanAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [du, ddelta, dA, dB, dC, dD, dz, dbias, dh0] = outputs;
  const [batch = 0, tokens = 0, channels = 0] = required(inputs[0], "u").shape;
  const states = required(inputs[2], "A").shape[1] ?? 0;
  const padded = (states + 3) & ~3;
  const aligned = states === padded;
  const { threads } = emit;
  // With one batch row there is nothing to add up for A; where no row is shared by threads, nothing for B and C.
  const alone = aligned && batch === 1;
  const unshared = aligned && batch % threads === 0;
  const apart = unshared ? 0 : batch * tokens * padded;
  const rows = 4 * (unshared ? batch * tokens * padded : threads * apart);
  const partial = {
    carry: (aligned && dh0) || emit.scratch(batch * channels * padded * 4),
    dA: (alone && dA) || emit.scratch(batch * channels * padded * 4),
    dD: (alone && dD) || emit.scratch(batch * channels * 4),
    dbias: (alone && dbias) || emit.scratch(batch * channels * 4),
    dB: (unshared && dB) || emit.scratch(rows),
    dC: (unshared && dC) || emit.scratch(rows),
  };
  const perThread = (41 * 1024 + (4 * 64 + 3 * 16 + 2) * padded * 4 + 63) & ~63;
  emit.command("selective_scan_gradient", [
    ...Array.from({ length: 11 }, (_, i) => inputs[i]),
    du,
    ddelta,
    dz,
    dh0,
    partial.carry,
    partial.dA,
    partial.dD,
    partial.dbias,
    partial.dB,
    partial.dC,
    apart,
    emit.scratch(threads * perThread),
    perThread,
    batch,
    tokens,
    channels,
    states,
    attributes.deltaSoftplus ? 1 : 0,
  ]);
  emit.command("selective_scan_gradient_sum", [
    partial.dA,
    partial.dD,
    partial.dbias,
    partial.dB,
    partial.dC,
    apart,
    dA,
    dD,
    dbias,
    dB,
    dC,
    batch,
    tokens,
    channels,
    states,
  ]);
};
