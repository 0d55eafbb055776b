// Plain data that remembers where each part of it was written, so that an error found long after parsing, or after
// several files were merged, can still point at its line.
import type { Span } from "./source.ts";

export type LocatedNode = LocatedScalar | LocatedList | LocatedMap;

export interface LocatedScalar {
  readonly kind: "scalar";
  readonly value: string | number | boolean | null;
  /** As written, for messages. */
  readonly written: string;
  readonly span: Span;
}

export interface LocatedList {
  readonly kind: "list";
  readonly items: readonly LocatedNode[];
  readonly span: Span;
}

export interface LocatedMap {
  readonly kind: "map";
  readonly entries: ReadonlyMap<string, LocatedEntry>;
  readonly span: Span;
}

export interface LocatedEntry {
  readonly key: Span;
  readonly node: LocatedNode;
}

export type PlainData = string | number | boolean | null | PlainData[] | { [key: string]: PlainData };

/** The data without its places. */
export function toData(node: LocatedNode): PlainData {
  switch (node.kind) {
    case "scalar":
      return node.value;
    case "list":
      return node.items.map(toData);
    case "map":
      return Object.fromEntries([...node.entries].map(([key, entry]) => [key, toData(entry.node)]));
  }
}

/** The entry of a mapping; undefined where `node` is not a mapping or has no such key. */
export function entryOf(node: LocatedNode | undefined, key: string): LocatedEntry | undefined {
  return node?.kind === "map" ? node.entries.get(key) : undefined;
}

/** The value under a key; undefined where there is none. */
export function childOf(node: LocatedNode | undefined, key: string): LocatedNode | undefined {
  return entryOf(node, key)?.node;
}

/** The node at a path of keys and list indices, as deep as it exists. */
export function nodeAt(root: LocatedNode, path: readonly string[]): LocatedNode {
  let node = root;
  for (const step of path) {
    const next = node.kind === "list" ? node.items[Number(step)] : childOf(node, step);
    if (next === undefined) return node;
    node = next;
  }
  return node;
}

/** Where to point for the value at a path: the key that names it if it is a mapping or list, else the value. */
export function spanAt(root: LocatedNode, path: readonly string[]): Span {
  const node = nodeAt(root, path);
  if (node.kind === "scalar" || path.length === 0) return node.span;
  const parent = nodeAt(root, path.slice(0, -1));
  return entryOf(parent, path.at(-1) ?? "")?.key ?? node.span;
}

/** A path as users read it: `blocks.M.mixer.type`, `layers[2]`, `blocks["*"].mixer`. */
export function formatPath(path: readonly string[]): string {
  let text = "";
  for (const step of path) {
    if (/^[A-Za-z_][\w]*$/.test(step) || (text === "overrides" && /^[\w-]+$/.test(step))) {
      text += text === "" ? step : `.${step}`;
    } else if (/^\d+$/.test(step) && text !== "blocks") {
      text += `[${step}]`;
    } else {
      text += `[${JSON.stringify(step)}]`;
    }
  }
  return text;
}
