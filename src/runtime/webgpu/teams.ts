// How threads share rows that they reduce (kernels/common/team.wgsl): a team of threads per row, several teams per workgroup
// where rows are short.
import { type DeviceFacts, type GpuTensor, type Part, part, type Scratch, spread } from "./lowering.ts";

const SMALLEST_WORKGROUP = 64;
const LARGEST_TEAM = 256;
/** Up to so many threads, a thread has one unit of its row; beyond, about four. */
const ONE_UNIT_EACH = 32;

/** The smallest power of two that is at least n. */
export const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/** Constants of common/team.wgsl. */
export interface Team {
  readonly TEAM: number;
  readonly WORKGROUP: number;
  readonly SUBGROUPS: 0 | 1 | 2;
  readonly SUBGROUP_MIN_SIZE: number;
}

/** The team for rows of `units` units (an element or four, whatever a thread reads at once). */
export function teamFor(units: number, device: DeviceFacts): Team {
  const most = Math.min(LARGEST_TEAM, device.invocations);
  const TEAM = Math.min(most, Math.max(powerOfTwo(units / 4), Math.min(ONE_UNIT_EACH, powerOfTwo(units))));
  const WORKGROUP = Math.max(SMALLEST_WORKGROUP, TEAM);
  const SUBGROUP_MIN_SIZE = Math.max(1, Math.min(WORKGROUP, device.subgroupMinSize));
  const SUBGROUPS = !device.subgroups ? 0 : TEAM <= SUBGROUP_MIN_SIZE ? 1 : TEAM === WORKGROUP ? 2 : 0;
  return { TEAM, WORKGROUP, SUBGROUPS, SUBGROUP_MIN_SIZE };
}

/** Workgroups for `teams` teams. */
export const teamGrid = (teams: number, { TEAM, WORKGROUP }: Team): [x: number, y: number] =>
  spread(Math.ceil((teams * TEAM) / WORKGROUP));

/** For `explain()`. */
export function teamReason({ TEAM, SUBGROUPS }: Team, vector: number): string {
  const how = ["a tree in workgroup memory", "subgroup shuffles", "subgroups and workgroup memory"][SUBGROUPS];
  return `${TEAM} threads a row, ${vector === 4 ? "vec4" : "scalar"}, ${how}`;
}

/** The rows of a run (see rowRuns) of a tensor of rows of `width` elements. */
export function rowsOf<T extends GpuTensor | Scratch>(
  tensor: T | undefined,
  run: { readonly first: number; readonly rows: number },
  width: number,
): Part | undefined {
  return tensor && part(tensor, run.first * width, run.rows * width);
}
