// Launch of layer_norm (kernels/layer_norm).
import { float, type WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { LayerNormAttributes } from "./op.ts";

export const lower: WasmLowering<LayerNormAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [x, weight, bias, residual] = inputs;
  const { shape } = required(x, "x");
  const rows = shape.slice(0, -1).reduce((n, d) => n * d, 1);
  emit.command("layer_norm", [
    x,
    weight,
    bias,
    residual,
    outputs[0],
    outputs[1],
    rows,
    shape.at(-1) ?? 1,
    float(attributes.eps),
  ]);
};
