// The stack folded, and drawn for the terminal.
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { wrap } from "../../src/inspect/boxes.ts";
import { drawStack } from "../../src/inspect/picture.ts";
import { foldStack, formatPositions, groupLayers, type StackNode } from "../../src/inspect/stack.ts";
import { loadSpec } from "../../src/spec/load.ts";
import { loadSpecFile } from "../../src/spec/node/files.ts";

const file = (name: string) => loadSpecFile(`architectures/${name}.yaml`);
const files = readdirSync("architectures").filter((name) => name.endsWith(".yaml"));

const sketch = (nodes: readonly StackNode[]): string =>
  nodes.map((node) => (node.kind === "layer" ? node.layer.block : `(${sketch(node.items)})${node.count}`)).join("");
const unfold = (nodes: readonly StackNode[]): string[] =>
  nodes.flatMap((node) =>
    node.kind === "layer" ? [node.layer.block] : Array.from({ length: node.count }, () => unfold(node.items)).flat(),
  );

/** A Mamba backbone and one transformer block that serves twice. */
const sharing = loadSpec(`
name: sharing
d_model: 64
vocab_size: 256
blocks:
  M: {mixer: {type: mamba}}
  S: {shared: true, mixer: {type: attention, n_heads: 4}}
  F: {shared: true, ffn: {type: mlp, d_ff: 192, activation: gelu}}
layers: MM(SF MM){2}
`);

describe("the folded stack", () => {
  it.each(files)("of %s unfolds to all layers", (name) => {
    const { layers } = file(name.replace(".yaml", ""));
    expect(unfold(foldStack(layers))).toEqual(layers.map((layer) => layer.block));
  });

  it("folds runs of two, and runs within runs", () => {
    expect(sketch(foldStack(sharing.layers))).toBe("(M)2(SF(M)2)2");
  });

  it("keeps layers apart that have one name but differ", () => {
    const { layers } = file("mamba");
    const changed = layers.map((layer, i) => (i === 1 ? { ...layer, out_scale: 0.5 } : layer));
    expect(sketch(foldStack(changed))).toBe("MM(M)2");
    expect(groupLayers(changed).map((group) => group.map((layer) => layer.index))).toEqual([[0, 2, 3], [1]]);
  });

  it("takes decays that follow from the depth for equal", () => {
    expect(groupLayers(file("lightning").layers).length).toBeLessThan(file("lightning").layers.length);
  });

  it("names positions briefly", () => {
    expect(formatPositions([0, 2, 4])).toBe("0, 2, 4");
    expect(formatPositions([0, 1])).toBe("0, 1");
    expect(formatPositions([3, 4, 5, 9])).toBe("3…5, 9");
    expect(formatPositions([0, 2, 4, 6, 8, 10])).toBe("0, 2, 4, … 10");
  });
});

describe("the picture", () => {
  it("folds repeats, doubles the frames of shared weights", () => {
    expect(drawStack(sharing, { width: 60 }).slice(5, 19).join("\n")).toBe(
      [
        "     ┌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌│╌╌╌╌╌╌╌╌╌╌╌╌╌╌ × 2 ┐",
        "     ╎ ┌─────────────────┴─────────────────┐ ╎",
        "     ╎ │             M  mamba              │ ╎",
        "     ╎ │ d_inner 128, d_state 16, d_conv 4 │ ╎",
        "     ╎ └─────────────────┬─────────────────┘ ╎",
        "     └╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌│╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┘",
        "   ┌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌│╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ × 2 ┐",
        "   ╎          ╔══════════╧═════════╗           ╎",
        "   ╎          ║    S  attention    ║           ╎",
        "   ╎          ║ 4 heads × 16, full ║           ╎",
        "   ╎          ║  shared, used 2×   ║           ╎",
        "   ╎          ╚══════════╤═════════╝           ╎",
        "   ╎         ╔═══════════╧══════════╗          ╎",
        "   ╎         ║        F  mlp        ║          ╎",
      ].join("\n"),
    );
  });

  it("says where blocks read and write beside the stream", () => {
    const text = drawStack(file("zamba2"), { width: 100 }).join("\n");
    for (const words of ["reads stream and embedding", "to the side", "reads stream + side", "adapters of rank 4"]) {
      expect(text).toContain(words);
    }
  });

  it("draws parallel branches side by side", () => {
    const lines = drawStack(file("falcon-h1"), { width: 44 });
    expect(lines.slice(6, 16)).toEqual([
      "╎         ┌────────┴─────────┐         ╎",
      "╎ ┌───────┴──────┐  ┌────────┴───────┐ ╎",
      "╎ │    mamba2    │  │   attention    │ ╎",
      "╎ │ 6 heads × 16 │  │  4 heads × 16  │ ╎",
      "╎ │  d_state 32  │  │   2 kv, full   │ ╎",
      "╎ │   d_conv 4   │  │ rope, in × 0.9 │ ╎",
      "╎ │  out × 0.5   │  └────────┬───────┘ ╎",
      "╎ └───────┬──────┘           │         ╎",
      "╎         └────────+─────────┘         ╎",
      "╎      ┌───────────┴──────────┐        ╎",
    ]);
  });

  it.each(files)("of %s fits into the columns that it is given", (name) => {
    const spec = file(name.replace(".yaml", ""));
    for (const width of [44, 60, 80, 120]) {
      for (const line of drawStack(spec, { width })) expect([...line].length).toBeLessThanOrEqual(width);
    }
  });

  it("wraps between words and cuts what is longer than a line", () => {
    expect(wrap(["one", "two", "three"], 8)).toEqual(["one, two", "three"]);
    expect(wrap(["incomprehensibilities"], 8)).toEqual(["incompr…"]);
  });
});
