// Launch of layer_norm_gradient (kernels/layer_norm): rows, then the sums of the threads' weight and bias gradients.
import { float, type WasmLowering } from "../../runtime/wasm/lowering.ts";
import type { LayerNormAttributes } from "../layer-norm/op.ts";
import { required } from "../types.ts";

export const lower: WasmLowering<LayerNormAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [x, weight, dy, dsum] = inputs;
  const [dx, dweight, dbias] = outputs;
  const { shape } = required(x, "x");
  const rows = shape.slice(0, -1).reduce((n, d) => n * d, 1);
  const channels = shape.at(-1) ?? 1;
  const bytes = emit.threads * channels * 4;
  const weightPartials = dweight && emit.scratch(bytes);
  const biasPartials = dbias && emit.scratch(bytes);
  emit.command("layer_norm_gradient", [
    x,
    weight,
    dy,
    dsum,
    dx,
    weightPartials,
    biasPartials,
    rows,
    channels,
    float(attributes.eps),
  ]);
  if (weightPartials) emit.command("sum_partials", [weightPartials, dweight, emit.threads, channels]);
  if (biasPartials) emit.command("sum_partials", [biasPartials, dbias, emit.threads, channels]);
};
