// Which layers each entry of `overrides` claims: an index from 0, an index from the end, or a range.
import type { LayerComplaint } from "./layers.ts";
import type { LocatedMap, LocatedNode } from "./located.ts";

export interface Override {
  /** As written in the file. */
  readonly key: string;
  readonly node: LocatedMap;
}

/** The override of each layer that has one. Claims that overlap or miss the stack are complained of. */
export function claimOverrides(
  node: LocatedNode | undefined,
  layerCount: number,
  complain: (complaint: LayerComplaint) => void,
): Map<number, Override> {
  const claims = new Map<number, Override>();
  if (node?.kind !== "map") return claims;
  for (const [key, entry] of node.entries) {
    if (entry.node.kind !== "map") continue;
    const refuse = (message: string, hint?: string) =>
      complain({ span: entry.key, path: ["overrides", key], message, hint });
    const range = parseRange(key, layerCount);
    if (range === undefined) {
      refuse(`"${key}" does not name layers`, "write an index (3), one from the end (-1) or a range (4-7)");
      continue;
    }
    const [first, last] = range;
    if (first > last) {
      refuse(`the range ${key} ends before it begins`);
      continue;
    }
    if (first < 0 || last >= layerCount) {
      const outside = first < 0 || first >= layerCount ? "is" : "reaches";
      refuse(`${key} ${outside} outside the ${layerCount} layers`, `they are numbered 0 to ${layerCount - 1}`);
      continue;
    }
    const override = { key, node: entry.node };
    const taken = new Set<string>();
    for (let index = first; index <= last; index++) {
      const other = claims.get(index);
      if (other === undefined) claims.set(index, override);
      else if (!taken.has(other.key)) {
        taken.add(other.key);
        refuse(`${key} and ${other.key} both claim layer ${index}`, "a layer may be overridden once");
      }
    }
  }
  return claims;
}

/** First and last layer of `3`, `-1` or `4-7`; undefined for anything else. */
function parseRange(key: string, layerCount: number): [number, number] | undefined {
  const range = /^\s*(\d{1,9})\s*-\s*(\d{1,9})\s*$/.exec(key);
  if (range !== null) return [Number(range[1]), Number(range[2])];
  const single = /^\s*(-?\d{1,9})\s*$/.exec(key);
  if (single === null) return undefined;
  const index = Number(single[1]);
  const layer = index < 0 || Object.is(index, -0) ? layerCount + index : index;
  return [layer, layer];
}
