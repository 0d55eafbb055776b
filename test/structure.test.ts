// The shape of the house: what may import what, and what runs in a browser.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../src", import.meta.url));

interface Import {
  /** Relative to src/, or a package. */
  readonly target: string;
  /** import(…): loaded only when it is reached. */
  readonly dynamic: boolean;
}

/** The imports of every file under src/. */
const imports = new Map<string, readonly Import[]>(
  readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.[jt]s$/.test(name))
    .map((name) => {
      const text = readFileSync(join(root, name), "utf8");
      const found = text.matchAll(/(?:\bfrom\s+|\bimport\s+|\bimport\((?=")|new URL\()"([^"]+)"/g);
      const list = [...found].map(([statement, target = ""]) => ({
        target: target.startsWith(".") ? posix(relative(root, join(root, dirname(name), target))) : target,
        dynamic: statement.startsWith("import("),
      }));
      return [posix(name), list] as const;
    }),
);

function posix(path: string): string {
  return path.split(sep).join("/");
}

const isForNode = (file: string): boolean => /(^|\/)node\//.test(file) || file.startsWith("cli/");

/** Every file that is loaded with `entry`. */
function reachable(entry: string): Set<string> {
  const seen = new Set([entry]);
  for (const file of seen) {
    for (const { target, dynamic } of imports.get(file) ?? []) if (!dynamic && imports.has(target)) seen.add(target);
  }
  return seen;
}

describe("in a browser", () => {
  it("runs every file outside of node/ and cli/: none of them imports a module of Node", () => {
    const wrong = [...imports].flatMap(([file, list]) =>
      list.filter(({ target }) => target.startsWith("node:") && !isForNode(file)).map(({ target }) => [file, target]),
    );
    expect(wrong).toEqual([]);
  });

  it("the library loads nothing that is for Node", () => {
    const loaded = reachable("index.ts");
    expect(loaded.size).toBeGreaterThan(100);
    expect([...loaded].filter(isForNode)).toEqual([]);
    expect([...reachable("node/index.ts")].some(isForNode)).toBe(true);
  });
});

describe("imports point one way", () => {
  /** What each room may import; an op's runtime facets and what they share (ops/<op>/webgpu.ts, few-rows.ts) may also import a runtime, and its onnx.ts that format. */
  const allowed: Readonly<Record<string, readonly string[]>> = {
    spec: [],
    plot: [],
    formats: ["blocks", "runtime", "ops", "graph", "spec"],
    graph: [],
    data: [],
    ops: ["graph"],
    blocks: ["ops", "graph", "spec"],
    runtime: ["ops", "graph"],
    model: ["blocks", "runtime", "ops", "graph", "spec", "formats", "data"],
    train: ["model", "blocks", "runtime", "ops", "graph", "spec", "formats", "data", "plot"],
    inspect: ["train", "model", "blocks", "runtime", "ops", "graph", "spec", "data", "plot"],
    cli: ["inspect", "train", "model", "runtime", "spec", "formats", "data", "plot"],
    node: ["train", "model", "formats", "spec"],
  };
  const room = (file: string): string => file.split("/")[0] ?? "";

  it.each(Object.entries(allowed))("%s imports %j", (name, others) => {
    const files = [...imports].filter(([file]) => room(file) === name);
    expect(files.length).toBeGreaterThan(0);
    const wrong = files.flatMap(([file, list]) =>
      list
        .filter(({ target }) => imports.has(target) && ![name, ...others].includes(room(target)))
        .filter(
          ({ target }) =>
            !(
              /^ops\/[^/]+\/(?!op\.|reference\.|gradient\.)[a-z-]+\.ts$/.test(file) &&
              (target.startsWith("runtime/") || target.startsWith("formats/onnx/"))
            ),
        )
        .map(({ target }) => `${file} → ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it("every room has a rule", () => {
    const rooms = new Set([...imports.keys()].filter((file) => file.includes("/")).map(room));
    expect([...rooms].sort()).toEqual(Object.keys(allowed).sort());
  });
});
