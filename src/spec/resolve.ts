// From checked data to an ArchitectureSpec: every block with its defaults, every layer of the pattern, overrides
// applied. All errors are collected; a block is looked into even where the pattern around it is wrong.

import { type Context, complain, withDefaults, within } from "./context.ts";
import { type Diagnostic, diagnosticAt } from "./diagnostic.ts";
import { checkBlockNames, checkSharedKeys, checkSide, expandLayers, type PlacedLayer } from "./layers.ts";
import {
  childOf,
  entryOf,
  formatPath,
  type LocatedEntry,
  type LocatedMap,
  type LocatedNode,
  toData,
} from "./located.ts";
import { lookPast } from "./look-past.ts";
import { mergeNodes } from "./merge.ts";
import { claimOverrides, type Override } from "./overrides.ts";
import { checkChoices, hasMixer, type ResolvedBlock, resolveBlock } from "./resolve-block.ts";
import { DEFAULT_NORM, resolveNorm } from "./resolve-norm.ts";
import { schema } from "./schema.generated.ts";
import type { Span } from "./source.ts";
import type { ArchitectureFile, BlockFields } from "./types.generated.ts";
import type { ArchitectureSpec, NormSpec, ResolvedLayer } from "./types.ts";
import { isMisspelt, type Violation, validate } from "./validate.ts";

export interface Resolution {
  /** undefined where there was an error. */
  readonly spec: ArchitectureSpec | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

const REQUIRED = ["name", "d_model", "vocab_size", "blocks", "layers"] as const;

/** Checks and resolves a whole file, `extends` already merged in. `file` is the name of the outermost file. */
export function resolveArchitecture(root: LocatedNode, file: string): Resolution {
  return new Resolver(root, file).resolve();
}

class Resolver {
  readonly #root: LocatedNode;
  readonly #file: string;
  readonly #diagnostics: Diagnostic[] = [];
  /** Top-level fields and blocks with errors of their own, into which no other check looks. */
  readonly #broken = new Set<string>();
  /** What the schema found. */
  #violations: readonly Violation[] = [];

  constructor(root: LocatedNode, file: string) {
    this.#root = root;
    this.#file = file;
  }

  resolve(): Resolution {
    this.#violations = validate(this.#root);
    for (const { path, diagnostic } of this.#violations) {
      this.#diagnostics.push(diagnostic);
      this.#broken.add(path[0] ?? "");
      // One wrong entry does not keep the others from being looked into.
      if (path[1] !== undefined) this.#broken.add(`${path[0]}.${path[1]}`);
    }
    if (this.#root.kind === "map") {
      this.#checkRequired(this.#root);
      const spec = this.#spec(toData(this.#root) as unknown as ArchitectureFile);
      if (!this.#diagnostics.some((diagnostic) => diagnostic.severity === "error")) {
        return { spec, diagnostics: this.#diagnostics };
      }
    }
    return { spec: undefined, diagnostics: this.#diagnostics };
  }

  readonly #report = (diagnostic: Diagnostic): void => {
    this.#diagnostics.push(diagnostic);
  };

  #sound(field: string): boolean {
    return !this.#broken.has(field) && !this.#broken.has("");
  }

  #checkRequired(root: LocatedMap): void {
    for (const field of REQUIRED) {
      if (root.entries.has(field)) continue;
      this.#broken.add(field);
      if (isMisspelt(field, root, Object.keys(schema.properties))) continue;
      this.#report(diagnosticAt({ ...root.span, end: root.span.start + 1 }, { message: `${field} is missing` }));
    }
  }

  #context(data: ArchitectureFile): Context {
    const d_model = this.#sound("d_model") ? (data.d_model ?? 0) : 0;
    const base: Context = {
      node: this.#root,
      path: [],
      d_model,
      norm: DEFAULT_NORM,
      depth: { index: 0, count: 1 },
      report: this.#report,
    };
    return { ...base, norm: this.#norm(base, data, "norm", DEFAULT_NORM) };
  }

  #norm(
    context: Context,
    data: ArchitectureFile,
    field: "norm" | "final_norm",
    otherwise: NormSpec | null,
  ): NormSpec | null {
    return this.#sound(field) ? resolveNorm(within(context, field), data[field], otherwise) : otherwise;
  }

  #spec(data: ArchitectureFile): ArchitectureSpec | undefined {
    const context = this.#context(data);
    const final_norm = this.#norm(context, data, "final_norm", context.norm);
    const embeddingNorm = this.#sound("embedding")
      ? resolveNorm(within(context, "embedding", "norm"), data.embedding?.norm, null)
      : null;
    if (data.positions !== undefined && (data.embedding?.prefix_tokens ?? 0) > 0 && this.#sound("positions")) {
      complain(
        within(context, "embedding"),
        "prefix_tokens",
        "prefix_tokens have no place in a table of learned positions",
      );
    }
    const layers = this.#layers(context);
    const { name, vocab_size, d_model } = data;
    const broken = this.#diagnostics.some((diagnostic) => diagnostic.severity === "error");
    if (broken || layers === undefined || name === undefined || d_model === undefined || vocab_size === undefined) {
      return undefined;
    }
    const { scale, prefix_tokens } = withDefaults("embedding", data.embedding ?? {});
    const head = withDefaults("head", data.head ?? {});
    return {
      name,
      description: data.description ?? "",
      d_model,
      vocab_size,
      embedding: { scale: typeof scale === "number" ? scale : Math.sqrt(d_model), norm: embeddingNorm, prefix_tokens },
      positions: data.positions === undefined ? null : withDefaults("positions", data.positions),
      layers,
      final_norm,
      head: { ...head, softcap: head.softcap ?? null },
      init: withDefaults("init", data.init ?? {}),
      source: data,
    };
  }

  #layers(context: Context): ResolvedLayer[] | undefined {
    const blocks = childOf(this.#root, "blocks");
    checkBlockNames(blocks, (complaint) => this.#complain(complaint));
    const definitions = new Map<string, Definition>();
    if (blocks?.kind === "map") {
      for (const [name, entry] of blocks.entries) definitions.set(name, this.#definition(context, name, entry));
    }
    const node = childOf(this.#root, "layers");
    if (node === undefined || !this.#sound("layers") || blocks?.kind !== "map") return undefined;
    const placed = expandLayers(node, [...definitions.keys()], (complaint) => this.#complain(complaint));
    if (placed === undefined) return undefined;
    this.#warnUnused(definitions, placed);
    const overrides = claimOverrides(childOf(this.#root, "overrides"), placed.length, (complaint) =>
      this.#complain(complaint),
    );
    const depths = mixerDepths(placed, definitions);
    const layers: ResolvedLayer[] = [];
    for (const [index, layer] of placed.entries()) {
      const at = { ...context, depth: depths[index] ?? context.depth };
      const resolved = this.#layer(at, index, layer, definitions, overrides.get(index));
      if (resolved !== undefined) layers.push(resolved);
    }
    if (layers.length !== placed.length) return undefined;
    checkSide(layers, placed, (complaint) => this.#complain(complaint));
    checkSharedKeys(layers, placed, (complaint) => this.#complain(complaint));
    return layers;
  }

  /** A block of the file; resolved once by itself, so that its errors are reported whether or not it is used. */
  #definition(context: Context, name: string, entry: LocatedEntry): Definition {
    const node = entry.node;
    const at: Context = { ...context, node, path: ["blocks", name] };
    const before = this.#diagnostics.length;
    checkChoices(at);
    const sound = this.#sound(`blocks.${name}`) && this.#diagnostics.length === before;
    const fields = toData(node) as unknown as BlockFields;
    if (!sound) {
      const wrong = this.#violations.filter(({ path }) => path[0] === "blocks" && path[1] === name);
      if (wrong.length > 0 && this.#diagnostics.length === before) lookPast(at, fields, wrong);
      return { node, entry, fields, resolved: undefined };
    }
    const resolved = resolveBlock(at, fields);
    return { node, entry, fields, resolved: this.#diagnostics.length === before ? resolved : undefined };
  }

  #layer(
    context: Context,
    index: number,
    layer: PlacedLayer,
    definitions: ReadonlyMap<string, Definition>,
    override: Override | undefined,
  ): ResolvedLayer | undefined {
    const members = layer.names.map((name) => definitions.get(name));
    if (members.some((member) => member?.resolved === undefined)) return undefined;
    const [only] = members;
    if (only === undefined) return undefined;
    const block = layer.names.length === 1 ? (layer.names[0] ?? "") : `[${layer.names.join("&")}]`;
    const shared = layer.names.length === 1 && only.fields.shared === true;
    const node = layer.names.length === 1 ? only.node : this.#parallelNode(layer, members);
    if (node === undefined) return undefined;
    const weights = shared ? `shared.${block}` : `layers.${index}`;
    if (override === undefined) {
      const fields = toData(node) as unknown as BlockFields;
      return { index, block, weights, ...resolveBlock({ ...context, node, path: layer.path }, fields) };
    }
    if (!this.#sound(`overrides.${override.key}`)) return undefined;
    if (shared && !this.#allowedOnShared(override, block)) return undefined;
    const merged = mergeNodes(node, override.node);
    const path = ["overrides", override.key];
    const violations = validate(merged, "block", path);
    for (const { diagnostic } of violations) this.#report(diagnostic);
    if (violations.length > 0) return undefined;
    const before = this.#diagnostics.length;
    const fields = toData(merged) as unknown as BlockFields;
    const at: Context = { ...context, node: merged, path };
    checkChoices(at);
    const resolved = resolveBlock(at, fields);
    return this.#diagnostics.length === before ? { index, block, weights, ...resolved } : undefined;
  }

  /** `[A&B]` as the block that would say the same with `parallel`. */
  #parallelNode(layer: PlacedLayer, members: readonly (Definition | undefined)[]): LocatedMap | undefined {
    const branches: LocatedNode[] = [];
    const first = members[0];
    const refuse = (message: string, hint?: string): undefined => {
      this.#complain({ span: layer.span, path: layer.path, message, hint });
      return undefined;
    };
    for (const [i, member] of members.entries()) {
      const name = layer.names[i] ?? "";
      if (member?.node.kind !== "map" || member.resolved === undefined || first?.resolved === undefined)
        return undefined;
      if (member.fields.shared === true) return refuse(`the shared block "${name}" cannot be part of a parallel group`);
      if (member.fields.parallel !== undefined) return refuse(`block "${name}" is parallel already`);
      if (member.fields.adapter !== undefined)
        return refuse(`block "${name}" has an adapter and cannot be part of a group`);
      for (const field of ["norm", "residual", "input", "output"] as const) {
        if (JSON.stringify(member.resolved[field]) === JSON.stringify(first.resolved[field])) continue;
        const message = `"${layer.names[0]}" and "${name}" differ in ${field}, which parallel blocks have in common`;
        return refuse(message, "give both the same, or write a block with `parallel`");
      }
      const entries = new Map(member.node.entries);
      for (const field of ["norm", "residual", "input", "output", "shared", "description"]) entries.delete(field);
      branches.push({ ...member.node, entries });
    }
    const key = layer.span;
    const entries = new Map<string, LocatedEntry>();
    entries.set("parallel", { key, node: { kind: "list", items: branches, span: layer.span } });
    for (const field of ["norm", "residual", "input", "output"]) {
      const entry = entryOf(first?.node, field);
      if (entry !== undefined) entries.set(field, entry);
    }
    return { kind: "map", entries, span: layer.span };
  }

  #allowedOnShared(override: Override, block: string): boolean {
    const allowed = ["in_scale", "out_scale", "residual"];
    const other = [...override.node.entries].find(([field]) => !allowed.includes(field));
    if (other === undefined) return true;
    this.#complain({
      span: other[1].key,
      path: ["overrides", override.key, other[0]],
      message: `block "${block}" is shared, so single uses of it may only differ in ${allowed.join(", ")}`,
    });
    return false;
  }

  #warnUnused(definitions: ReadonlyMap<string, Definition>, placed: readonly PlacedLayer[]): void {
    const used = new Set(placed.flatMap((layer) => layer.names));
    for (const [name, { entry }] of definitions) {
      // A file that extends another need not use all that it inherits.
      if (used.has(name) || entry.key.source.file !== this.#file) continue;
      const path = formatPath(["blocks", name]);
      const message = `block "${name}" is not used in layers`;
      this.#report(diagnosticAt(entry.key, { severity: "warning", path, message }));
    }
  }

  #complain(complaint: { span: Span; path: readonly string[]; message: string; hint?: string | undefined }): void {
    const { span, path, message, hint } = complaint;
    this.#report(diagnosticAt(span, { path: formatPath(path), message, hint }));
  }
}

interface Definition {
  readonly node: LocatedNode;
  readonly entry: LocatedEntry;
  readonly fields: BlockFields;
  /** undefined where the block has errors. */
  readonly resolved: ResolvedBlock | undefined;
}

/** For each layer: its place among the layers with a mixer, and how many those are. */
function mixerDepths(
  placed: readonly PlacedLayer[],
  definitions: ReadonlyMap<string, Definition>,
): { index: number; count: number }[] {
  const mixes = placed.map((layer) => layer.names.some((name) => hasMixer(definitions.get(name)?.fields)));
  const count = Math.max(1, mixes.filter(Boolean).length);
  let next = 0;
  return mixes.map((mixer) => ({ index: mixer ? next++ : next, count }));
}
