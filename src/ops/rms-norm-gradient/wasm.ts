// Launch of rms_norm_gradient (kernels/rms_norm): rows, then the sum of the threads' weight gradients.
import type { WasmLowering } from "../../runtime/wasm/lowering.ts";
import type { RmsNormAttributes } from "../rms-norm/op.ts";
import { normWords } from "../rms-norm/wasm.ts";
import { required } from "../types.ts";

export const lower: WasmLowering<RmsNormAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [x, weight, gate, dy, dsum] = inputs;
  const dx = outputs[0];
  const dweight = weight === undefined ? undefined : outputs[1];
  const dgate = gate === undefined ? undefined : outputs[weight === undefined ? 1 : 2];
  const { shape } = required(x, "x");
  const channels = shape.at(-1) ?? 1;
  const padded = Math.ceil(channels / attributes.groups / 16) * 64;
  const partials = dweight === undefined ? undefined : emit.scratch(emit.threads * channels * 4);
  const rows = emit.scratch(emit.threads * 4 * padded);
  emit.command("rms_norm_gradient", [
    x,
    weight,
    gate,
    dy,
    dsum,
    dx,
    partials,
    dgate,
    ...normWords(shape, attributes),
    rows,
  ]);
  if (partials !== undefined) emit.command("sum_partials", [partials, dweight, emit.threads, channels]);
};
