// Launch of adamw (kernels/adamw).
import { sizeOf } from "../../graph/shape.ts";
import { float, type WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { AdamwAttributes } from "./op.ts";

export const lower: WasmLowering<AdamwAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [parameter, gradient, m, v, hyper, scale] = inputs;
  const { beta1, beta2, eps, weightDecay } = attributes;
  const count = sizeOf(required(parameter, "parameter").shape);
  // Complements of the betas are taken in float64: 1 - 0.999 in f32 would be off by 5e-5.
  const numbers = [beta1, beta2, eps, weightDecay, 1 - beta1, 1 - beta2].map(float);
  emit.command("adamw", [
    parameter,
    gradient,
    m,
    v,
    hyper,
    scale,
    outputs[0],
    outputs[1],
    outputs[2],
    count,
    ...numbers,
  ]);
};
