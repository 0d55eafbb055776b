// From the `layers` field, pattern or list, to one entry per layer, each with the place that asked for it.
import type { LocatedNode, LocatedScalar } from "./located.ts";
import {
  blockNameProblem,
  countLayers,
  expandPattern,
  MAX_LAYERS,
  parsePattern,
  unknownBlock,
  unknownBlocks,
} from "./pattern.ts";
import type { Span } from "./source.ts";
import type { AttentionSpec, ResolvedLayer } from "./types.ts";

/** One layer: the block it uses, or the blocks it runs in parallel. */
export interface PlacedLayer {
  readonly names: readonly string[];
  readonly span: Span;
  readonly path: readonly string[];
}

export interface LayerComplaint {
  readonly span: Span;
  readonly path: readonly string[];
  readonly message: string;
  readonly hint?: string | undefined;
}

export type Complain = (complaint: LayerComplaint) => void;

/** The layers that `node` (which the schema has accepted) stands for; undefined after a complaint. */
export function expandLayers(
  node: LocatedNode,
  blocks: readonly string[],
  complain: Complain,
): readonly PlacedLayer[] | undefined {
  let failed = false;
  const expansion = new Expansion(blocks, (complaint) => {
    failed = true;
    complain(complaint);
  });
  const layers = expansion.expand(node, ["layers"]);
  return failed ? undefined : layers;
}

class Expansion {
  readonly #blocks: readonly string[];
  readonly #complain: Complain;

  constructor(blocks: readonly string[], complain: Complain) {
    this.#blocks = blocks;
    this.#complain = complain;
  }

  expand(node: LocatedNode, path: readonly string[]): readonly PlacedLayer[] {
    if (node.kind === "scalar") return this.#pattern(node, path);
    if (node.kind === "list") return this.#list(node, path);
    return this.#repeat(node, path);
  }

  #list(node: LocatedNode & { kind: "list" }, path: readonly string[]): readonly PlacedLayer[] {
    const layers: PlacedLayer[] = [];
    for (const [index, item] of node.items.entries()) {
      const at = [...path, String(index)];
      const more = item.kind === "scalar" ? this.#name(item, at) : this.expand(item, at);
      if (layers.length + more.length > MAX_LAYERS) return this.#tooMany(node.span, path);
      for (const layer of more) layers.push(layer);
    }
    return layers;
  }

  /** {repeat: n, layers: …} */
  #repeat(node: LocatedNode & { kind: "map" }, path: readonly string[]): readonly PlacedLayer[] {
    const repeat = node.entries.get("repeat")?.node;
    const inner = node.entries.get("layers")?.node;
    if (repeat?.kind !== "scalar" || typeof repeat.value !== "number" || inner === undefined) return [];
    const once = this.expand(inner, [...path, "layers"]);
    if (once.length * repeat.value > MAX_LAYERS) return this.#tooMany(repeat.span, [...path, "repeat"]);
    return Array.from({ length: repeat.value }, () => once).flat();
  }

  /** An entry of a list: a block's name, or a pattern if it has pattern signs in it. */
  #name(node: LocatedScalar, path: readonly string[]): readonly PlacedLayer[] {
    const name = String(node.value);
    if (this.#blocks.includes(name)) return [{ names: [name], span: node.span, path }];
    if (/[()[\]{}@&|/]/.test(name)) return this.#pattern(node, path);
    const words = unknownBlock(name, this.#blocks);
    const isPattern = name.length > 1 && [...name].every((character) => this.#blocks.includes(character));
    const hint = isPattern ? `an entry of a list is one block; write the pattern as (${name})` : words.hint;
    this.#complain({ span: node.span, path, message: words.message, hint });
    return [];
  }

  #pattern(node: LocatedScalar, path: readonly string[]): readonly PlacedLayer[] {
    const text = String(node.value);
    const offsets = sourceOffsets(node, text);
    const place = (start: number, end: number): Span => ({
      source: node.span.source,
      start: offsets(start),
      end: offsets(Math.max(start, end - 1)) + 1,
    });
    const { items, problems } = parsePattern(text);
    for (const problem of [...problems, ...unknownBlocks(items, this.#blocks)]) {
      const { start, end, message, hint } = problem;
      this.#complain({ span: place(start, end), path, message, hint });
    }
    if (problems.length > 0) return [];
    const count = countLayers(items);
    if (count === 0) {
      this.#complain({ span: node.span, path, message: "the pattern has no layers" });
      return [];
    }
    if (count > MAX_LAYERS) return this.#tooMany(node.span, path);
    return expandPattern(items).map(({ names, start, end }) => ({ names, span: place(start, end), path }));
  }

  #tooMany(span: Span, path: readonly string[]): readonly PlacedLayer[] {
    this.#complain({ span, path, message: `more than the ${MAX_LAYERS} layers that a model may have` });
    return [];
  }
}

/**
 * Where the n-th character of a text value is in the file. Quotes, escapes and folded lines shift it; every visible
 * character of the value also stands in the source, in the same order, unless it was written as an escape.
 */
function sourceOffsets(node: LocatedScalar, text: string): (index: number) => number {
  const written = node.written;
  let at = /^[|>]/.test(written) ? written.indexOf("\n") + 1 : /^["']/.test(written) ? 1 : 0;
  const offsets: number[] = [];
  for (const character of text) {
    const next = /\s/.test(character) ? at : written.indexOf(character, at);
    // An escape: the characters cannot be told apart, so all of the value is meant.
    if (next < 0) return () => node.span.start;
    for (let unit = 0; unit < character.length; unit++) offsets.push(node.span.start + next + unit);
    at = next + character.length;
  }
  return (index) => offsets[Math.min(index, offsets.length - 1)] ?? node.span.start;
}

/** Complains of names in `blocks` that no pattern could use. */
export function checkBlockNames(node: LocatedNode | undefined, complain: Complain): void {
  if (node?.kind !== "map") return;
  for (const [name, entry] of node.entries) {
    const problem = blockNameProblem(name);
    if (problem === undefined) continue;
    const word = name.replaceAll(/[^A-Za-z0-9_]+/g, "_").replace(/^(?=\d)/, "_");
    const hint = word.length > 1 && blockNameProblem(word) === undefined ? `write ${word}` : undefined;
    complain({ span: entry.key, path: ["blocks", name], message: `the name "${name}" ${problem}`, hint });
  }
}

/** Complains where a layer reads a side value that none before it has made, or makes one that none after it reads. */
export function checkSide(layers: readonly ResolvedLayer[], placed: readonly PlacedLayer[], complain: Complain): void {
  /** The layer whose side value nothing has read yet. */
  let unread: number | undefined;
  let exists = false;
  const say = (index: number, message: string, hint: string): void => {
    const at = placed[index];
    if (at !== undefined) complain({ span: at.span, path: at.path, message, hint });
  };
  const lost = (index: number): void =>
    say(index, `nothing reads what layer ${index} (${layers[index]?.block}) puts to the side`, "add a block that does");
  for (const [index, { block, input, output }] of layers.entries()) {
    if (input === "side" || input === "stream_plus_side") {
      if (!exists)
        say(
          index,
          `layer ${index} (${block}) reads the side, where nothing is yet`,
          "a block before it has output: side",
        );
      unread = undefined;
    }
    if (output !== "side") continue;
    if (unread !== undefined) lost(unread);
    unread = index;
    exists = true;
  }
  if (unread !== undefined) lost(unread);
}

/** Complains where attention shares keys that no layer before it has made, or that are not as it needs them. */
export function checkSharedKeys(
  layers: readonly ResolvedLayer[],
  placed: readonly PlacedLayer[],
  complain: Complain,
): void {
  let latest: { readonly layer: number; readonly spec: AttentionSpec } | undefined;
  for (const [index, layer] of layers.entries()) {
    for (const { operator } of layer.branches) {
      if (operator.type !== "attention") continue;
      if (!operator.share_kv) {
        latest = { layer: index, spec: operator };
        continue;
      }
      const at = placed[index];
      if (at === undefined) continue;
      const who = `layer ${index} (${layer.block})`;
      if (latest === undefined) {
        complain({
          span: at.span,
          path: at.path,
          message: `${who} shares the keys of an attention before it; there is none`,
        });
        continue;
      }
      for (const field of ["n_kv_heads", "head_dim", "value_head_dim", "window"] as const) {
        const [own, given] = [operator[field], latest.spec[field]];
        if (own === given) continue;
        const message = `${who} shares the keys of layer ${latest.layer}, but has ${field} ${own ?? "none"} where that has ${given ?? "none"}`;
        complain({ span: at.span, path: at.path, message, hint: "give both the same" });
      }
    }
  }
}
