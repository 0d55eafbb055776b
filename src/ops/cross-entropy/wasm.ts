// Launch of cross_entropy (kernels/cross_entropy): a loss per row, then their mean.
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { CrossEntropyAttributes } from "./op.ts";

export const lower: WasmLowering<CrossEntropyAttributes> = ({ inputs, outputs, attributes: { ignore } }, emit) => {
  const [logits, targets] = inputs;
  const [loss, lse, count] = outputs;
  const { shape } = required(logits, "logits");
  const rows = shape.slice(0, -1).reduce((n, d) => n * d, 1);
  const losses = emit.scratch(rows * 4);
  emit.command("cross_entropy", [logits, targets, losses, lse, rows, shape.at(-1) ?? 1, ignore]);
  emit.command("cross_entropy_mean", [losses, targets, loss, count, rows, ignore]);
};
