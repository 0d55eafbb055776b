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
 * Adds up launches by op and kernels, slowest first. Launches that no explanation speaks of (copies of states) are
 * reported as themselves.
 */
export function reportKernels(explanations: readonly Explanation[], launches: readonly LaunchTime[]): KernelReport[] {
  const rows = new Map<string, { -readonly [K in keyof KernelReport]: KernelReport[K] }>();
  const total = launches.reduce((sum, { seconds }) => sum + seconds, 0);
  const add = (op: string, kernels: readonly string[], flops: number, bytes: number, times: readonly LaunchTime[]) => {
    const key = `${op} ${kernels.join(", ")}`;
    const row = rows.get(key) ?? { op, kernels, nodes: 0, launches: 0, seconds: 0, share: 0, flops: 0, bytes: 0 };
    row.nodes++;
    row.launches += times.length;
    row.seconds += times.reduce((sum, { seconds }) => sum + seconds, 0);
    row.share = total === 0 ? 0 : row.seconds / total;
    row.flops += flops;
    row.bytes += bytes;
    rows.set(key, row);
  };
  for (const [i, { op, kernels, flops, bytes }] of explanations.entries())
    add(
      op,
      kernels,
      flops,
      bytes,
      launches.filter(({ explanation }) => explanation === i),
    );
  for (const launch of launches) if (launch.explanation === undefined) add(launch.op, [launch.kernel], 0, 0, [launch]);
  return [...rows.values()].sort((a, b) => b.seconds - a.seconds);
}
