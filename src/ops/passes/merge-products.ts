// Products that read the same tensor become one: their weights are stored one below the other, and each takes its columns of
// the result. One large product keeps more threads busy than several small ones, and is started once.
import { leafName, rewriteGraph, usesOf } from "../../graph/graph.ts";
import { parameter } from "../../graph/leaves.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import type { Graph, Node, Tensor } from "../../graph/types.ts";
import { causalConvOp } from "../causal-conv/op.ts";
import { type MatmulAttributes, matmul, matmulOp } from "../matmul/op.ts";
import { slice } from "../slice/op.ts";
import { topKOp } from "../top-k/op.ts";

export interface MergedGraph {
  readonly graph: Graph;
  /** Parameters of `graph` that are others joined along their first axis, by name. */
  readonly joined: ReadonlyMap<string, readonly string[]>;
}

/** Most elements of a joined weight: files and buffers have limits. */
const MOST_ELEMENTS = 2 ** 28;

export interface JoinedParameter {
  readonly name: string;
  readonly parts: readonly string[];
}

/** `a.q.weight`, `a.k.weight` → `a.q+k.weight`. */
export function joinedName(names: readonly string[]): string {
  const [only = ""] = names;
  if (names.length < 2) return only;
  const paths = names.map((name) => name.split("."));
  const shortest = Math.min(...paths.map(({ length }) => length));
  const [first = []] = paths;
  const same = (at: (path: readonly string[]) => string | undefined): boolean =>
    paths.every((path) => at(path) === at(first));
  let [start, end] = [0, 0];
  while (start < shortest - 1 && same((path) => path[start])) start++;
  while (end < shortest - 1 - start && same((path) => path.at(-1 - end))) end++;
  const middle = paths.map((path) => path.slice(start, path.length - end).join(".")).join("+");
  return [...first.slice(0, start), middle, ...first.slice(first.length - end)].join(".");
}

/** A parameter that holds those of `tensors` one after the other along the first axis. */
export function joinedParameter(tensors: readonly Tensor[], joined: Map<string, readonly string[]>): Tensor {
  const parts = tensors.map(({ node }) => leafName(node));
  const name = joinedName(parts);
  joined.set(name, parts);
  const rows = tensors.reduce((sum, { shape }) => sum + fixedDimAt(shape, 0), 0);
  const rest = (tensors[0]?.shape ?? []).slice(1) as readonly number[];
  return parameter(name, [rows, ...rest], { kind: "zeros" }, { decay: false });
}

export const isParameter = (tensor: Tensor | undefined): tensor is Tensor => tensor?.node.op.leaf === "parameter";

interface Member {
  readonly node: Node;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
}

/** The node as a product x · weightᵀ (+ bias) with stored weights, if it is one. */
function memberOf(node: Node): Member | undefined {
  if (node.op.name !== matmulOp.name) return undefined;
  const { transposeA, transposeB } = node.attributes as MatmulAttributes;
  const [, weight, bias] = node.inputs;
  const fits = !transposeA && transposeB && isParameter(weight) && weight.shape.length === 2;
  return fits && (bias === undefined || isParameter(bias)) ? { node, weight, bias } : undefined;
}

/** What identifies the weights of a product: blocks that share weights are the same product of different tensors. */
const keyOf = (members: readonly Member[]): string => members.map(({ weight }) => leafName(weight.node)).join(" ");

/** Products grouped by the tensor they read; those whose weights something else reads too, and routers, are left out. */
function groupsOf(graph: Graph): Member[][] {
  const { readers } = usesOf(graph);
  /** What chooses experts may be stored more exactly than other weights. */
  const chooses = ({ outputs }: Node): boolean =>
    outputs.some((tensor) => readers.get(tensor)?.some(({ op }) => op.name === topKOp.name));
  const byInput = new Map<string, Member[]>();
  for (const node of graph.nodes) {
    const member = memberOf(node);
    const [x] = node.inputs;
    if (member === undefined || x === undefined || chooses(node)) continue;
    const key = `${x.node.id}.${x.index} ${member.bias !== undefined}`;
    const group = byInput.get(key);
    if (group === undefined) byInput.set(key, [member]);
    else group.push(member);
  }
  // What convolutions read comes first, side by side, so that they can be merged as well.
  const convolved = ({ node }: Member): number =>
    node.outputs.some((tensor) => readers.get(tensor)?.some(({ op }) => op.name === causalConvOp.name)) ? 0 : 1;
  const groups = [...byInput.values()].map((group) => group.sort((a, b) => convolved(a) - convolved(b)));
  const uses = new Map<string, number>();
  for (const group of groups) uses.set(keyOf(group), (uses.get(keyOf(group)) ?? 0) + 1);
  return groups.filter((group) => {
    const expected = uses.get(keyOf(group));
    const stored = group.flatMap(({ weight, bias }) => (bias === undefined ? [weight] : [weight, bias]));
    const elements = group.reduce(
      (sum, { weight }) => sum + weight.shape.reduce<number>((n, d) => n * Number(d), 1),
      0,
    );
    return (
      group.length > 1 &&
      elements <= MOST_ELEMENTS &&
      new Set(stored).size === stored.length &&
      stored.every((tensor) => readers.get(tensor)?.length === expected)
    );
  });
}

/** Merges the products of `graph` that read the same tensor. */
export function mergeProducts(graph: Graph): MergedGraph {
  const joined = new Map<string, readonly string[]>();
  const groupOf = new Map<Node, readonly Member[]>();
  for (const group of groupsOf(graph)) for (const { node } of group) groupOf.set(node, group);
  const leaves = new Map<string, Tensor>();
  const stored = (tensors: readonly Tensor[]): Tensor => {
    const key = tensors.map(({ node }) => leafName(node)).join(" ");
    const leaf = leaves.get(key) ?? joinedParameter(tensors, joined);
    leaves.set(key, leaf);
    return leaf;
  };
  const results = new Map<readonly Member[], readonly Tensor[]>();
  const merged = (group: readonly Member[], x: Tensor): Tensor[] => {
    const biases = group.flatMap(({ bias }) => bias ?? []);
    const bias = biases.length === 0 ? undefined : stored(biases);
    const product = matmul(x, stored(group.map(({ weight }) => weight)), { transposeB: true, bias });
    let end = 0;
    return group.map(({ weight }) => {
      const size = fixedDimAt(weight.shape, 0);
      end += size;
      return slice(product, product.shape.length - 1, end - size, size);
    });
  };
  const rewritten = rewriteGraph(graph, (node, [x]) => {
    const group = groupOf.get(node);
    if (group === undefined || x === undefined) return undefined;
    // All parts are there before anything reads one of them.
    const parts = results.get(group) ?? merged(group, x);
    results.set(group, parts);
    return parts.slice(group.findIndex((member) => member.node === node)).slice(0, 1);
  });
  return { graph: rewritten, joined };
}
