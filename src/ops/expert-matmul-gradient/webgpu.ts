// Dispatch of expert_matmul_gradient: a product for each expert, by the tiles of matmul.
import type { GpuLowering } from "../../runtime/webgpu/lowering.ts";
import { emitGroupedGradient } from "../expert-matmul/grouped.ts";
import { required } from "../types.ts";
import type { ExpertMatmulGradientAttributes } from "./op.ts";

export const lower: GpuLowering<ExpertMatmulGradientAttributes> = ({ inputs, outputs }, emit) => {
  const routing = {
    indices: required(inputs[2], "indices"),
    order: required(inputs[3], "order"),
    starts: required(inputs[4], "starts"),
  };
  const dweight = required(outputs[0], "expert_matmul_gradient output");
  emitGroupedGradient({ x: required(inputs[0], "x"), dy: required(inputs[1], "dy"), dweight }, routing, emit);
};
