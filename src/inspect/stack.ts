// The stack of layers as a tree in which runs of equal layers are folded: what pictures and tables of a model show.
import { foldLayers } from "../spec/compress.ts";
import type { PatternNode } from "../spec/pattern.ts";
import type { ResolvedLayer } from "../spec/types.ts";

export type StackNode =
  | { readonly kind: "layer"; readonly layer: ResolvedLayer }
  | { readonly kind: "repeat"; readonly items: readonly StackNode[]; readonly count: number };

export const isShared = (layer: ResolvedLayer): boolean => layer.weights.startsWith("shared.");

/** Equal for layers that differ in nothing but their place: index, own weights, and decays that follow from the depth. */
export function layerKey(layer: ResolvedLayer): string {
  const { index: _index, weights, ...rest } = layer;
  return JSON.stringify({ ...rest, weights: isShared(layer) ? weights : "" }, (key, value) =>
    key === "log_decay" ? value !== null : value === Number.POSITIVE_INFINITY ? "Infinity" : value,
  );
}

/** Layers that are equal, in order of first occurrence. */
export function groupLayers(layers: readonly ResolvedLayer[]): ResolvedLayer[][] {
  const groups = new Map<string, ResolvedLayer[]>();
  for (const layer of layers) {
    const key = layerKey(layer);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [layer]);
    else group.push(layer);
  }
  return [...groups.values()];
}

/** Folds runs of equal layers and of equal groups of layers. */
export function foldStack(layers: readonly ResolvedLayer[]): StackNode[] {
  const keys = layers.map(layerKey);
  const first = new Map<string, ResolvedLayer>();
  for (const [i, layer] of layers.entries()) if (!first.has(keys[i] ?? "")) first.set(keys[i] ?? "", layer);
  return mergeEqual(foldLayers(keys.map((key) => [key])).flatMap((node) => toStack(node, first)));
}

function toStack(node: PatternNode, first: ReadonlyMap<string, ResolvedLayer>): StackNode[] {
  switch (node.kind) {
    case "block": {
      const layer = first.get(node.name);
      return layer === undefined ? [] : [{ kind: "layer", layer }];
    }
    case "group":
      return mergeEqual(node.items.flatMap((item) => toStack(item, first)));
    case "repeat":
      return [{ kind: "repeat", items: toStack(node.item, first), count: node.count }];
    case "parallel":
      return [];
  }
}

/** Patterns write MM; a picture folds that, too. */
function mergeEqual(nodes: readonly StackNode[]): StackNode[] {
  const merged: StackNode[] = [];
  for (const node of nodes) {
    const last = merged.at(-1);
    const single = last?.kind === "repeat" && last.items.length === 1 ? last.items[0] : last;
    if (node.kind === "layer" && single?.kind === "layer" && single.layer === node.layer) {
      const count = last?.kind === "repeat" ? last.count + 1 : 2;
      merged[merged.length - 1] = { kind: "repeat", items: [node], count };
    } else merged.push(node);
  }
  return merged;
}

/** Positions as text: `0, 2, 4` or `0…23`; long lists are cut. */
export function formatPositions(indices: readonly number[]): string {
  const runs: string[] = [];
  for (let i = 0; i < indices.length; ) {
    let end = i;
    while ((indices[end + 1] ?? -1) === (indices[end] ?? 0) + 1) end++;
    const [from, to] = [indices[i] ?? 0, indices[end] ?? 0];
    runs.push(...(end - i < 2 ? indices.slice(i, end + 1).map(String) : [`${from}…${to}`]));
    i = end + 1;
  }
  return runs.length > 4 ? `${runs.slice(0, 3).join(", ")}, … ${runs.at(-1)}` : runs.join(", ");
}
