// How one mapping changes another: `extends` and `overrides`. Mappings merge field by field, everything else replaces,
// null removes what was inherited, and a mapping whose `type` changes is replaced whole.
import { childOf, type LocatedEntry, type LocatedMap, type LocatedNode } from "./located.ts";

/** Fields of which giving one takes back the inherited others. */
const ALTERNATIVES: readonly (readonly string[])[] = [
  ["mixer", "ffn", "parallel"],
  ["expand", "d_inner"],
  ["expand", "n_heads"],
];

/** `base` changed by `change`. Every part keeps the place where it was written. */
export function mergeNodes(base: LocatedNode, change: LocatedNode): LocatedNode {
  if (base.kind !== "map" || change.kind !== "map") return change;
  if (typeChanges(base, change)) return change;
  const entries = new Map<string, LocatedEntry>(base.entries);
  for (const group of ALTERNATIVES) {
    if (!group.some((name) => change.entries.has(name))) continue;
    for (const name of group) if (!change.entries.has(name)) entries.delete(name);
  }
  for (const [key, entry] of change.entries) {
    const inherited = base.entries.get(key);
    if (inherited === undefined) entries.set(key, entry);
    else if (entry.node.kind === "scalar" && entry.node.value === null) entries.delete(key);
    else entries.set(key, { key: entry.key, node: mergeNodes(inherited.node, entry.node) });
  }
  return { kind: "map", entries, span: change.span };
}

function typeChanges(base: LocatedMap, change: LocatedMap): boolean {
  const before = childOf(base, "type");
  const after = childOf(change, "type");
  return before?.kind === "scalar" && after?.kind === "scalar" && before.value !== after.value;
}
