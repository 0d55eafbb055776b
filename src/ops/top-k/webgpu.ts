// Dispatch of top_k (kernels/top_k): a team of threads per row.
import { sizeOf } from "../../graph/shape.ts";
import { RuntimeError } from "../../runtime/types.ts";
import { type DeviceFacts, float, type GpuLowering, read, write } from "../../runtime/webgpu/lowering.ts";
import { type Team, teamFor, teamGrid, teamReason } from "../../runtime/webgpu/teams.ts";
import { required } from "../types.ts";
import type { TopKAttributes } from "./op.ts";

/** Constants of kernels/top_k/scores.wgsl and of what follows from the attributes. */
export function routingConstants({ k, score, normalize, normalizeEps, scale }: TopKAttributes, experts: number) {
  return {
    ...{ EXPERTS: experts, K: k, SIGMOID: score === "sigmoid", NORMALIZE: normalize },
    ...{ EPS: float(normalizeEps), SCALE: float(scale) },
  };
}

/** A team that has room in workgroup memory for `words` words a row besides what reductions take. */
function teamWithRoom(experts: number, words: number, device: DeviceFacts): Team {
  const team = teamFor(experts, device);
  const rows = team.WORKGROUP / team.TEAM;
  if (4 * rows * words + 16 * team.WORKGROUP + 8 * rows > device.workgroupMemory) {
    throw new RuntimeError(
      `top_k: ${experts} experts need more than the ${device.workgroupMemory} bytes of workgroup memory`,
    );
  }
  return team;
}

export const lower: GpuLowering<TopKAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const logits = required(inputs[0], "logits");
  const experts = logits.shape.at(-1) ?? 1;
  const rows = sizeOf(logits.shape) / experts;
  if (rows === 0) return;
  const { groups, topGroups } = attributes;
  const team = teamWithRoom(experts, experts + groups, emit.device);
  emit.dispatch({
    kernel: "top_k/top_k",
    constants: { ...routingConstants(attributes, experts), GROUPS: groups, TOP_GROUPS: topGroups, ...team },
    uniforms: { rows },
    bindings: {
      ...{ logits: read(logits), bias: read(inputs[1]) },
      ...{ weights: write(outputs[0]), indices: write(outputs[1]) },
    },
    workgroups: teamGrid(rows, team),
    reason: teamReason(team, 1),
  });
};
