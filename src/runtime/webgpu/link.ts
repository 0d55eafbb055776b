// From a dispatch and the places of its tensors to storage variables. WebGPU forbids binding a buffer for reading and
// writing at once, forbids overlapping bindings of which one is written, and guarantees only 8 storage bindings. So:
// - bindings of equal or overlapping ranges, one of them written (work in place), become one variable;
// - while there are too many, those that lie in the same buffer are merged into one, and reach their elements behind a base;
// - a variable is read-only only where nothing of its buffer is written.
import { RuntimeError } from "../types.ts";
import type { Region } from "./buffer.ts";
import type { Binding, Storage } from "./lowering.ts";
import type { ShaderBinding, ShaderVariable } from "./shader.ts";

/** Where a binding's elements lie. */
export interface Place extends Region {
  readonly storage: Storage;
  /** int8, int4: the scales. */
  readonly scales?: Region | undefined;
}

export interface Linked {
  readonly variables: readonly ShaderVariable[];
  readonly bindings: readonly ShaderBinding[];
  readonly entries: readonly Region[];
  /** Elements before each based binding, by the name of its uniform. */
  readonly bases: readonly { readonly name: string; readonly value: number }[];
}

interface Member {
  readonly name: string;
  readonly binding: Binding;
  readonly place: Place;
}

/** Bindings that share a variable; `scalesOf` marks the scales of a quantised one. */
interface Group {
  readonly buffer: GPUBuffer;
  readonly storage: Storage;
  start: number;
  end: number;
  members: Member[];
  readonly scalesOf?: string;
}

/** Neither scales nor what they scale. */
const plain = ({ scalesOf, storage }: Group): boolean =>
  scalesOf === undefined && storage !== "int8" && storage !== "int4";
const writes = (group: Group): boolean => group.members.some(({ binding }) => binding.access !== "read");
const elementBytes: { readonly [S in Storage]: number } = { f32: 4, i32: 4, f16: 2, int8: 1, int4: 0.5 };

export function link(
  kernel: string,
  bindings: readonly (readonly [name: string, binding: Binding, place: Place])[],
  limits: { readonly maxStorageBindings: number; readonly maxBinding: number },
): Linked {
  let groups: Group[] = [];
  for (const [name, binding, place] of bindings) {
    const { buffer, storage, offset, bytes } = place;
    groups.push({ buffer, storage, start: offset, end: offset + bytes, members: [{ name, binding, place }] });
    if (place.scales !== undefined) {
      const { scales } = place;
      groups.push({
        buffer: scales.buffer,
        storage: "f32",
        start: scales.offset,
        end: scales.offset + scales.bytes,
        members: [],
        scalesOf: name,
      });
    }
  }
  const merge = (a: Group, b: Group): void => {
    if (a.storage !== b.storage) {
      throw new RuntimeError(`${kernel}: ${a.storage} and ${b.storage} tensors overlap in memory`);
    }
    a.start = Math.min(a.start, b.start);
    a.end = Math.max(a.end, b.end);
    a.members = [...a.members, ...b.members];
    groups = groups.filter((group) => group !== b);
  };
  for (let merged = true; merged; ) {
    merged = false;
    for (const [i, a] of groups.entries()) {
      // The same tensor read twice is one variable too, unless it has scales: those find theirs by name.
      const sharedRead = (b: Group): boolean =>
        a.start === b.start && a.end === b.end && a.storage === b.storage && plain(a) && plain(b);
      const b = groups
        .slice(i + 1)
        .find((other) => overlap(a, other) && (sharedRead(other) || writes(a) || writes(other)));
      if (b === undefined) continue;
      merge(a, b);
      merged = true;
      break;
    }
  }
  while (groups.length > limits.maxStorageBindings) {
    const pair = mergeable(groups, limits.maxBinding);
    if (pair === undefined) {
      throw new RuntimeError(
        `${kernel} wants ${groups.length} storage bindings, this device has ${limits.maxStorageBindings} per shader`,
      );
    }
    merge(...pair);
  }
  const written = new Set(groups.filter(writes).map(({ buffer }) => buffer));
  const variables = groups.map((group): ShaderVariable => {
    const wide = group.members.some(({ binding }) => binding.width === 4);
    const narrowWrites = group.members.some(({ binding }) => binding.access !== "read" && binding.width !== 4);
    // In whole vectors the last elements of a shared variable could be out of reach.
    const whole = (group.end - group.start) % (4 * elementBytes[group.storage]) === 0;
    const width = wide && !narrowWrites && (whole || group.members.length === 1) ? 4 : 1;
    return { storage: group.storage, writable: written.has(group.buffer), width };
  });
  const scales = new Map(groups.flatMap(({ scalesOf }, i) => (scalesOf === undefined ? [] : [[scalesOf, i] as const])));
  const linked: ShaderBinding[] = [];
  const bases: { name: string; value: number }[] = [];
  for (const [variable, { members, start }] of groups.entries()) {
    // One tensor under two names (in place) needs no base; several places do.
    const based = members.some(({ place }) => place.offset !== start);
    for (const { name, binding, place } of members) {
      const { access, width = 1 } = binding;
      linked.push({ name, storage: place.storage, access, width, variable, based, scales: scales.get(name) });
      if (based) bases.push({ name: `${name}_base`, value: (place.offset - start) / elementBytes[place.storage] });
    }
  }
  const entries = groups.map(({ buffer, start, end }) => ({ buffer, offset: start, bytes: end - start }));
  return { variables, bindings: linked, entries, bases };
}

function overlap(a: Group, b: Group): boolean {
  return a.buffer === b.buffer && a.start < b.end && b.start < a.end;
}

/** Two groups of one buffer and storage whose union is small enough to bind; of several pairs the closest. */
function mergeable(groups: readonly Group[], maxBinding: number): [Group, Group] | undefined {
  let best: [Group, Group] | undefined;
  let smallest = maxBinding;
  for (const [i, a] of groups.entries()) {
    if (a.scalesOf !== undefined || a.storage === "int8" || a.storage === "int4") continue;
    for (const b of groups.slice(i + 1)) {
      if (b.scalesOf !== undefined || b.buffer !== a.buffer || b.storage !== a.storage) continue;
      const span = Math.max(a.end, b.end) - Math.min(a.start, b.start);
      if (span > smallest) continue;
      smallest = span;
      best = [a, b];
    }
  }
  return best;
}
