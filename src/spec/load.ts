// The way in: text to ArchitectureSpec, and back to text.
import { isMap, isPair, isScalar, isSeq, type Node, visit, Document as YamlDocument } from "yaml";
import { type Diagnostic, SpecError, sortDiagnostics } from "./diagnostic.ts";
import { loadExtended, type Resolver } from "./extends.ts";
import { resolveArchitecture } from "./resolve.ts";
import { schema } from "./schema.generated.ts";
import type { ArchitectureFile } from "./types.generated.ts";
import type { ArchitectureSpec } from "./types.ts";

export interface LoadOptions {
  /** Name of the text in messages, and what `extends` starts from. Default: "architecture". */
  readonly file?: string;
  /** Finds the files named by `extends`; without it, `extends` is an error. */
  readonly resolve?: Resolver;
}

export interface CheckResult {
  /** The architecture; undefined where there is an error. */
  readonly spec: ArchitectureSpec | undefined;
  /** Errors and warnings in reading order. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads, checks and resolves an architecture. Never throws: all that is wrong with it comes in `diagnostics`. */
export function checkSpec(text: string, options: LoadOptions = {}): CheckResult {
  const file = options.file ?? "architecture";
  const loaded = loadExtended(file, text, options.resolve);
  if (loaded.root === undefined) return { spec: undefined, diagnostics: sortDiagnostics(loaded.diagnostics) };
  const { spec, diagnostics } = resolveArchitecture(loaded.root, file);
  return { spec, diagnostics: sortDiagnostics(diagnostics) };
}

/**
 * The architecture that `text` (YAML or JSON) describes, fully resolved.
 *
 * Throws SpecError with every error of the file.
 */
export function loadSpec(text: string, options: LoadOptions = {}): ArchitectureSpec {
  const { spec, diagnostics } = checkSpec(text, options);
  if (spec === undefined) throw new SpecError(diagnostics);
  return spec;
}

/**
 * The architecture that plain data describes, for those who write it in TypeScript. Messages show it as YAML.
 *
 * Throws SpecError with everything that is wrong.
 */
export function defineSpec(data: ArchitectureFile, options: LoadOptions = {}): ArchitectureSpec {
  return loadSpec(stringifyFields(data), options);
}

/** Canonical YAML of an architecture; loading it gives an equal spec. `extends` is merged in. */
export function stringifySpec(spec: ArchitectureSpec): string {
  return stringifyFields(spec.source);
}

/** Columns that a line of a written file may take. */
const LINE_WIDTH = 120;

/** Top-level fields in the schema's order, and each block, norm and the like on one line where it fits. */
function stringifyFields(data: ArchitectureFile): string {
  const order = Object.keys(schema.properties);
  const rank = (key: string): number => (order.includes(key) ? order.indexOf(key) : order.length);
  const entries = Object.entries(data).sort(([a], [b]) => rank(a) - rank(b));
  const document = new YamlDocument(Object.fromEntries(entries), { aliasDuplicateObjects: false });
  visit(document, {
    Collection(_, node, path) {
      const parent = path.at(-2);
      const nestedIn = isMap(parent) || isSeq(parent) ? parent : undefined;
      const top = nestedIn === document.contents;
      if (node === document.contents || (top && node.items.some((item) => hasCollection(item)))) return undefined;
      const depth = path.filter((ancestor) => isMap(ancestor) || isSeq(ancestor)).length - 1;
      const key = path.at(-1);
      const name = isPair(key) ? String(key.key).length + 2 : 0;
      if (2 * depth + name + inlineLength(node) > LINE_WIDTH) return undefined;
      node.flow = true;
      return visit.SKIP;
    },
  });
  return document.toString({ lineWidth: LINE_WIDTH, flowCollectionPadding: false });
}

/** Characters of a value on one line, roughly: as YAML quotes less than JSON, never too few. */
function inlineLength(node: Node): number {
  return JSON.stringify(node.toJSON()).replace(/"/g, "").replace(/[,:]/g, "$& ").length;
}

function hasCollection(item: unknown): boolean {
  const value = typeof item === "object" && item !== null && "value" in item && !isScalar(item) ? item.value : item;
  return isMap(value) || isSeq(value);
}
