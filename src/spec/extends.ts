// Reads a file and the files it extends, and merges them into one. How another file is found and read is the caller's
// business: from disk in Node, from a map of texts in a browser.
import { type Diagnostic, diagnosticAt } from "./diagnostic.ts";
import { childOf, type LocatedMap, type LocatedNode } from "./located.ts";
import { mergeNodes } from "./merge.ts";
import { readYaml } from "./read.ts";

/** A file as `extends` finds it. */
export interface FoundFile {
  /** Name in messages; the same file must always get the same name, for circles to be noticed. */
  readonly file: string;
  readonly text: string;
}

/**
 * Finds the file that `from` extends under the name `reference`. Throws an Error whose message says why not, e.g.
 * `no such file`.
 */
export type Resolver = (reference: string, from: string) => FoundFile;

export interface LoadedFile {
  /** Everything inherited, without `extends`; undefined where something could not be read. */
  readonly root: LocatedNode | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

/** Longest chain of files that extend each other. */
const MAX_CHAIN = 32;

/** Reads `text` and what it extends. Never throws. */
export function loadExtended(file: string, text: string, resolve: Resolver | undefined): LoadedFile {
  return load(file, text, resolve, [file]);
}

/** What `root`, a mapping inside the file `file`, and what it extends, say together. Never throws. */
export function extendNode(file: string, root: LocatedNode, resolve: Resolver | undefined): LoadedFile {
  return extend(file, root, [], resolve, [file]);
}

function load(file: string, text: string, resolve: Resolver | undefined, chain: readonly string[]): LoadedFile {
  const { root, diagnostics } = readYaml(file, text);
  return root === undefined ? { root, diagnostics } : extend(file, root, diagnostics, resolve, chain);
}

function extend(
  file: string,
  root: LocatedNode,
  diagnostics: readonly Diagnostic[],
  resolve: Resolver | undefined,
  chain: readonly string[],
): LoadedFile {
  const reference = childOf(root, "extends");
  if (root.kind !== "map" || reference?.kind !== "scalar" || typeof reference.value !== "string") {
    return { root, diagnostics };
  }
  const fail = (message: string, hint?: string): LoadedFile => ({
    root: undefined,
    diagnostics: [...diagnostics, diagnosticAt(reference.span, { path: "extends", message, hint })],
  });
  if (resolve === undefined) {
    return fail("other files cannot be read from here", "load the file from disk, or pass `resolve`");
  }
  let base: FoundFile;
  try {
    base = resolve(reference.value, file);
  } catch (error) {
    return fail(`cannot read "${reference.value}": ${error instanceof Error ? error.message : String(error)}`);
  }
  if (chain.includes(base.file)) {
    const circle = [...chain.slice(chain.indexOf(base.file)), base.file];
    return fail(`the file extends itself: ${circle.join(" → ")}`);
  }
  if (chain.length >= MAX_CHAIN) return fail(`more than ${MAX_CHAIN} files extend each other`);
  const inherited = load(base.file, base.text, resolve, [...chain, base.file]);
  const all = [...diagnostics, ...inherited.diagnostics];
  if (inherited.root === undefined) return { root: undefined, diagnostics: all };
  return { root: mergeNodes(inherited.root, withoutExtends(root)), diagnostics: all };
}

function withoutExtends(root: LocatedMap): LocatedMap {
  const entries = new Map(root.entries);
  entries.delete("extends");
  return { ...root, entries };
}
