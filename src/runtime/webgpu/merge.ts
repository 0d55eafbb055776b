// Fewer dispatches for small programs: those that do not depend on each other are done by one. A decoding step is bound by the
// number of its dispatches more than by their work; the query, key and value products of an attention layer, say, or the
// convolutions of a Mamba-2 layer, need not wait for each other.
import type { Region } from "./buffer.ts";
import type { GpuContext } from "./device.ts";
import { link, type Place } from "./link.ts";
import type { Binding, Dispatch } from "./lowering.ts";
import { type KernelShape, kernelShape } from "./merged-shader.ts";
import type { PipelineCache } from "./pipelines.ts";
import type { ShaderMember } from "./shader.ts";

/** A dispatch whose tensors have their places. */
export interface LocatedDispatch {
  /** Which step of the program it belongs to. */
  readonly step: number;
  readonly dispatch: Dispatch;
  readonly bindings: readonly (readonly [name: string, binding: Binding, place: Place])[];
  readonly absent: readonly string[];
}

/** Most workgroups of a merged dispatch: along one dimension. */
const MOST_WORKGROUPS = 65535;
/** Most kernels in one shader: beyond, it takes longer to compile than it saves. */
const MOST_MEMBERS = 8;

export const workgroupsOf = ({ workgroups: [x, y = 1, z = 1] }: Dispatch): number => x * y * z;

/** Dispatches in an order that respects every dependency; those in one group may run side by side as one dispatch. */
export function mergeDispatches(
  dispatches: readonly LocatedDispatch[],
  context: GpuContext,
  pipelines: PipelineCache,
): LocatedDispatch[][] {
  const levels: LocatedDispatch[][] = [];
  for (const [i, level] of dependencyLevels(dispatches).entries()) {
    const dispatch = dispatches[i];
    if (dispatch === undefined) continue;
    let members = levels[level];
    if (members === undefined) {
      members = [];
      levels[level] = members;
    }
    members.push(dispatch);
  }
  return levels.flatMap((members) => groupsOf(members, context, pipelines));
}

/** For each dispatch, how many others have to run before it one after the other. */
export function dependencyLevels(dispatches: readonly Pick<LocatedDispatch, "bindings">[]): number[] {
  interface Access {
    readonly start: number;
    readonly end: number;
    readonly level: number;
    readonly writes: boolean;
  }
  const accesses = new Map<GPUBuffer, Access[]>();
  return dispatches.map(({ bindings }) => {
    const ranges = bindings.map(([, { access }, place]) => ({ ...place, end: place.offset + place.bytes, access }));
    let level = 0;
    for (const { buffer, offset, end, access } of ranges) {
      for (const other of accesses.get(buffer) ?? []) {
        if (other.start >= end || offset >= other.end || (access === "read" && !other.writes)) continue;
        level = Math.max(level, other.level + 1);
      }
    }
    for (const { buffer, offset, end, access } of ranges) {
      const known = accesses.get(buffer) ?? [];
      const writes = access !== "read";
      // What is overwritten entirely can only matter through this dispatch, which comes later.
      const kept = writes ? known.filter((other) => other.start < offset || other.end > end) : known;
      accesses.set(buffer, [...kept, { start: offset, end, level, writes }]);
    }
    return level;
  });
}

/** Of dispatches that are independent, those together that fit together. */
function groupsOf(members: readonly LocatedDispatch[], context: GpuContext, pipelines: PipelineCache) {
  const groups: { readonly members: LocatedDispatch[]; readonly shape: KernelShape | undefined; memory: number }[] = [];
  for (const member of members) {
    const shape =
      members.length === 1 ? undefined : kernelShape(shaderMember(member, "", pipelines), pipelines.include);
    const group = groups.find((other) => fits(other, member, shape, context));
    if (group === undefined || shape === undefined)
      groups.push({ members: [member], shape, memory: shape?.memory ?? 0 });
    else {
      group.members.push(member);
      group.memory += shape.memory;
    }
  }
  return groups.map((group) => group.members);
}

function fits(
  group: {
    readonly members: readonly LocatedDispatch[];
    readonly shape: KernelShape | undefined;
    readonly memory: number;
  },
  member: LocatedDispatch,
  shape: KernelShape | undefined,
  { facts }: GpuContext,
): boolean {
  if (group.shape === undefined || shape === undefined || group.members.length >= MOST_MEMBERS) return false;
  if (group.shape.workgroup.join() !== shape.workgroup.join()) return false;
  if (group.memory + shape.memory > facts.workgroupMemory) return false;
  const all = [...group.members, member];
  if (all.reduce((sum, { dispatch }) => sum + workgroupsOf(dispatch), 0) > MOST_WORKGROUPS) return false;
  return canLink(all, facts);
}

function canLink(members: readonly LocatedDispatch[], limits: GpuContext["facts"]): boolean {
  try {
    const { entries } = link("merged", prefixedBindings(members), limits);
    return entries.every(({ bytes }: Region) => bytes <= limits.maxBinding);
  } catch {
    return false;
  }
}

/** What names of a group's member start with. */
export const prefixOf = (members: readonly unknown[], i: number): string => (members.length === 1 ? "" : `m${i}_`);

/** The bindings of all members under the names that they have in the shader. */
export function prefixedBindings(members: readonly LocatedDispatch[]) {
  return members.flatMap(({ bindings }, i) =>
    bindings.map(([name, binding, place]) => [`${prefixOf(members, i)}${name}`, binding, place] as const),
  );
}

export function shaderMember(
  { dispatch, bindings, absent }: LocatedDispatch,
  prefix: string,
  pipelines: PipelineCache,
): ShaderMember {
  const file = dispatch.source === undefined ? `${dispatch.kernel}.wgsl` : dispatch.kernel;
  return {
    file,
    source: dispatch.source ?? pipelines.text(file),
    constants: dispatch.constants ?? {},
    present: bindings.map(([name]) => name),
    absent,
    prefix,
  };
}
