// Launch of cross_entropy_gradient (kernels/cross_entropy).
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import type { CrossEntropyAttributes } from "../cross-entropy/op.ts";
import { required } from "../types.ts";

export const lower: WasmLowering<CrossEntropyAttributes> = ({ inputs, outputs, attributes: { ignore } }, emit) => {
  const [logits, targets, lse, count, dloss, dlse] = inputs;
  const { shape } = required(logits, "logits");
  const rows = shape.slice(0, -1).reduce((n, d) => n * d, 1);
  emit.command("cross_entropy_gradient", [
    logits,
    targets,
    lse,
    count,
    dloss,
    dlse,
    outputs[0],
    rows,
    shape.at(-1) ?? 1,
    ignore,
  ]);
};
