// Dispatch of top_k_gradient (kernels/top_k): a team of threads per row.
import { sizeOf } from "../../graph/shape.ts";
import { type GpuLowering, read, write } from "../../runtime/webgpu/lowering.ts";
import { teamFor, teamGrid, teamReason } from "../../runtime/webgpu/teams.ts";
import type { TopKAttributes } from "../top-k/op.ts";
import { routingConstants } from "../top-k/webgpu.ts";
import { required } from "../types.ts";

export const lower: GpuLowering<TopKAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const logits = required(inputs[0], "logits");
  const experts = logits.shape.at(-1) ?? 1;
  const rows = sizeOf(logits.shape) / experts;
  if (rows === 0) return;
  const team = teamFor(experts, emit.device);
  emit.dispatch({
    kernel: "top_k/top_k_gradient",
    constants: { ...routingConstants(attributes, experts), ...team },
    uniforms: { rows },
    bindings: {
      ...{ logits: read(logits), indices: read(inputs[1]), dweights: read(inputs[2]) },
      dlogits: write(outputs[0]),
    },
    workgroups: teamGrid(rows, team),
    reason: teamReason(team, 1),
  });
};
