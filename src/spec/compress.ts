// The short way to write a long sequence of layers: what `hybraid check` shows of a model's stack.
import { type PatternNode, printPattern } from "./pattern.ts";
import type { ResolvedLayer } from "./types.ts";

/** Longest repeating unit looked for. */
const MAX_UNIT = 64;

/** The short pattern of a resolved stack. */
export function patternOf(layers: readonly Pick<ResolvedLayer, "block">[]): string {
  return compressPattern(layers.map(({ block }) => (block.startsWith("[") ? block.slice(1, -1).split("&") : [block])));
}

/**
 * A pattern that expands to exactly these layers, repeats written as (…){n}. `layers` holds the block names of each
 * layer: one, or several that run in parallel.
 */
export function compressPattern(layers: readonly (readonly string[])[]): string {
  return printPattern(foldLayers(layers));
}

/** The same as a tree, for those who draw it. */
export function foldLayers(layers: readonly (readonly string[])[]): PatternNode[] {
  const words = layers.map((names) => names.join("&"));
  return compress(layers, words);
}

function compress(layers: readonly (readonly string[])[], words: readonly string[]): PatternNode[] {
  const nodes: PatternNode[] = [];
  for (let at = 0; at < words.length; ) {
    const here = bestRepeat(words, at);
    // A repeat that can start one layer later and save as much leaves this layer outside: *-(M-){3}, not *(-M){3}-.
    const later = savedBy(bestRepeat(words, at + 1)) >= savedBy(here);
    const { unit, count } = later ? { unit: 1, count: 1 } : here;
    const once = layers.slice(at, at + unit);
    const items = unit === 1 ? once.map(leaf) : compress(once, words.slice(at, at + unit));
    if (count === 1) nodes.push(...items);
    else nodes.push({ kind: "repeat", item: asOne(items), count, start: 0, end: 0 });
    at += unit * count;
  }
  return nodes;
}

/** The unit starting at `at` whose repeats save the most layers. */
function bestRepeat(words: readonly string[], at: number): { unit: number; count: number } {
  let best = { unit: 1, count: 1 };
  for (let unit = 1; unit <= MAX_UNIT && at + 2 * unit <= words.length; unit++) {
    let end = at + unit;
    while (end < words.length && words[end] === words[end - unit]) end++;
    const count = Math.floor((end - at) / unit);
    // A run of two or three single blocks is shorter written out.
    if (count > 1 && (unit > 1 || count > 3) && savedBy({ unit, count }) > savedBy(best)) best = { unit, count };
  }
  return best;
}

const savedBy = ({ unit, count }: { unit: number; count: number }): number => unit * (count - 1);

function leaf(names: readonly string[]): PatternNode {
  const [first] = names;
  return names.length === 1 && first !== undefined
    ? { kind: "block", name: first, start: 0, end: 0 }
    : { kind: "parallel", names, start: 0, end: 0 };
}

function asOne(items: PatternNode[]): PatternNode {
  const [first] = items;
  return items.length === 1 && first !== undefined ? first : { kind: "group", items, start: 0, end: 0 };
}
