// Where the time of a call goes, kernel by kernel: what `hybraid bench SPEC --profile` prints.
import type { Explanation, LaunchTime } from "../runtime/types.ts";

/** All nodes of a program that one op computes by the same kernels, chosen for the same reasons. */
export interface KernelReport {
  readonly op: string;
  /** Kernels in the order of their launches, with the reason for the variant where the runtime gives one. */
  readonly kernels: readonly string[];
  readonly nodes: number;
  readonly launches: number;
  readonly seconds: number;
  /** Of the time of all launches together. */
  readonly share: number;
  readonly flops: number;
  /** Each input read once, each output written once. */
  readonly bytes: number;
}

/**
 * Adds up launches by op and kernels, slowest first. `explanations` and `launches` are of one program: launches come in the order of
 * the nodes; those behind the last node (copies of states) are reported as themselves.
 */
export function reportKernels(explanations: readonly Explanation[], launches: readonly LaunchTime[]): KernelReport[] {
  const rows = new Map<string, { -readonly [K in keyof KernelReport]: KernelReport[K] }>();
  const total = launches.reduce((sum, { seconds }) => sum + seconds, 0);
  const add = (op: string, kernels: readonly string[], flops: number, bytes: number, times: readonly LaunchTime[]) => {
    const key = `${op} ${kernels.join(" ")}`;
    const row = rows.get(key) ?? { op, kernels, nodes: 0, launches: 0, seconds: 0, share: 0, flops: 0, bytes: 0 };
    row.nodes++;
    row.launches += times.length;
    row.seconds += times.reduce((sum, { seconds }) => sum + seconds, 0);
    row.share = total === 0 ? 0 : row.seconds / total;
    row.flops += flops;
    row.bytes += bytes;
    rows.set(key, row);
  };
  let next = 0;
  for (const { node, kernels, flops, bytes } of explanations) {
    const times = launches.slice(next, next + kernels.length);
    next += kernels.length;
    add(times[0]?.op ?? node.split(" ")[0] ?? node, kernels, flops, bytes, times);
  }
  for (const launch of launches.slice(next)) add(launch.op, [launch.kernel], 0, 0, [launch]);
  return [...rows.values()].sort((a, b) => b.seconds - a.seconds);
}
