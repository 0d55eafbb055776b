// Launch of gru_gradient (kernels/gru).
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import type { GruAttributes } from "../gru/op.ts";
import { emitSteps } from "../gru/wasm.ts";
import { required } from "../types.ts";

export const lower: WasmLowering<GruAttributes> = ({ inputs, outputs }, emit) => {
  const [weight, y, gates, h0, dy, dhT] = inputs;
  const [dx, dGates, dh0, previous] = outputs;
  const [batch = 0, tokens = 0, hidden = 0] = required(y, "y").shape;
  const transposed = emit.scratch(12 * hidden * hidden);
  emit.command("gru_transpose", [weight, transposed, hidden]);
  const words = [
    transposed,
    h0,
    y,
    gates,
    dy,
    dhT,
    dx,
    dGates ?? emit.scratch(12 * batch * tokens * hidden),
    dh0,
    previous,
    emit.scratch(4 * batch * hidden),
    emit.scratch(128 * emit.threads),
    batch,
    tokens,
    hidden,
  ];
  emitSteps(emit, "gru_gradient", words, dh0 === undefined ? tokens : tokens + 1, batch, hidden);
};
