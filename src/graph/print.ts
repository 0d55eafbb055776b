// A graph as text, one line per node: `%3 f32[B, T, 64] = matmul(%1, embed.weight) {transposeB: true}  ; layers.0`.
import { leafName } from "./graph.ts";
import { formatShape } from "./shape.ts";
import type { Graph, Node, Tensor } from "./types.ts";

/** Renders attributes; a value with its own text (such as an expression) may be formatted by `special`. */
export interface PrintOptions {
  readonly special?: (key: string, value: unknown) => string | undefined;
}

export function printGraph(graph: Graph, options: PrintOptions = {}): string {
  const names = new Map<Tensor, string>();
  let count = 0;
  const lines: string[] = [];
  for (const node of graph.nodes) {
    const leaf = node.op.leaf;
    for (const output of node.outputs) {
      names.set(output, leaf === undefined || leaf === "constant" ? `%${count++}` : leafName(node));
    }
    lines.push(printNode(node, names, options));
  }
  for (const { name, input, output } of graph.states) {
    lines.push(
      `next ${name} = ${names.get(output) ?? "?"}${names.get(input) === name ? "" : ` (${names.get(input)})`}`,
    );
  }
  for (const { name, tensor } of graph.outputs) lines.push(`return ${name} = ${names.get(tensor) ?? "?"}`);
  return `${lines.join("\n")}\n`;
}

function printNode(node: Node, names: ReadonlyMap<Tensor, string>, options: PrintOptions): string {
  const outputs = node.outputs.map((t) => `${names.get(t) ?? "?"} ${t.dtype}${formatShape(t.shape)}`).join(", ");
  const scope = node.scope === "" ? "" : `  ; ${node.scope}`;
  const leaf = node.op.leaf;
  if (leaf !== undefined && leaf !== "constant") return `${leaf} ${outputs}${scope}`;
  const inputs = node.inputs.map((input) => (input === undefined ? "-" : (names.get(input) ?? "?"))).join(", ");
  const attributes = Object.entries(node.attributes as object)
    .filter(([key]) => leaf === undefined || key === "values")
    .map(([key, value]) => `${key}: ${options.special?.(key, value) ?? formatValue(value)}`)
    .join(", ");
  return `${outputs} = ${node.op.name}(${inputs})${attributes === "" ? "" : ` {${attributes}}`}${scope}`;
}

function formatValue(value: unknown): string {
  if (Array.isArray(value) && value.length > 8) return `[${value.slice(0, 8).join(", ")}, … ${value.length} values]`;
  return Array.isArray(value)
    ? `[${value.join(", ")}]`
    : typeof value === "object"
      ? JSON.stringify(value)
      : String(value);
}
