// Causal convolutions that stand side by side in a block become one, and so do their windows: Mamba-2's of x, B and C, say. A
// depthwise convolution treats every channel alone, so that joining channels changes nothing.
import { type Rewrite, rewriteGraph, usesOf } from "../../graph/graph.ts";
import { state } from "../../graph/leaves.ts";
import { fixedDimAt } from "../../graph/shape.ts";
import type { Graph, Node, StateBinding, Tensor } from "../../graph/types.ts";
import { type CausalConvAttributes, causalConv, causalConvOp } from "../causal-conv/op.ts";
import { concat } from "../concat/op.ts";
import { type SliceAttributes, slice, sliceOp } from "../slice/op.ts";
import { required } from "../types.ts";
import { isParameter, joinedName, joinedParameter, type MergedGraph } from "./merge-products.ts";

const CHANNELS = 2;

interface MergedConvolution {
  /** Of each of the convolutions that it stands for. */
  readonly outputs: readonly Tensor[];
  readonly binding: StateBinding;
}

interface Member {
  readonly node: Node;
  readonly binding: StateBinding;
}

/** Convolutions, in the order of their states, grouped by what has to be equal. */
function groupsOf(graph: Graph): Member[][] {
  const { readers, leaving } = usesOf(graph);
  const onlyReader = (tensor: Tensor): boolean => readers.get(tensor)?.length === 1;
  const groups = new Map<string, Member[]>();
  for (const binding of graph.states) {
    const { node, index } = binding.output;
    if (node.op.name !== causalConvOp.name || index !== 1 || node.inputs[3] !== binding.input) continue;
    const [x, weight, bias] = node.inputs;
    const ours =
      isParameter(weight) && onlyReader(weight) && (bias === undefined || (isParameter(bias) && onlyReader(bias)));
    // Windows that leave the graph in other ways as well stay as they are.
    const kept = onlyReader(binding.input) && !leaving.has(binding.input);
    const handedOn = !readers.has(binding.output) && leaving.get(binding.output) === 1;
    if (x === undefined || !ours || !kept || !handedOn) continue;
    const { activation } = node.attributes as CausalConvAttributes;
    const key = [node.scope, weight.shape[1], activation, bias !== undefined, ...x.shape.slice(0, 2)].join(" ");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [{ node, binding }]);
    else group.push({ node, binding });
  }
  // All that they read is there before the first of them.
  const ready = (group: readonly Member[]): boolean =>
    group.every(({ node }) => (node.inputs[0]?.node.id ?? 0) < Math.min(...group.map((member) => member.node.id)));
  return [...groups.values()].filter((group) => group.length > 1 && ready(group));
}

/** Channels of all tensors: a part of what they are all parts of, where they are next to each other there. */
function joinChannels(tensors: readonly Tensor[]): Tensor {
  const parts = tensors.map(({ node }) => (node.op.name === sliceOp.name ? node : undefined));
  const [first] = parts;
  const [whole] = first?.inputs ?? [];
  if (first === undefined || whole === undefined) return concat(tensors, CHANNELS);
  const { start } = first.attributes as SliceAttributes;
  let end = start;
  for (const part of parts) {
    const { axis, start: from, length } = (part?.attributes ?? { axis: -1, start: -1, length: 0 }) as SliceAttributes;
    if (part?.inputs[0] !== whole || axis !== CHANNELS || from !== end) return concat(tensors, CHANNELS);
    end += length;
  }
  return slice(whole, CHANNELS, start, end - start);
}

/** Merges convolutions of one block, and their states into one that holds the channels of all. */
export function mergeConvolutions(graph: Graph): MergedGraph {
  const joined = new Map<string, readonly string[]>();
  const groupOf = new Map<Node, readonly Member[]>();
  for (const group of groupsOf(graph)) for (const { node } of group) groupOf.set(node, group);
  const results = new Map<readonly Member[], MergedConvolution>();
  const merged = (group: readonly Member[], current: (tensor: Tensor) => Tensor): MergedConvolution => {
    const inputs = (index: number): Tensor[] => group.flatMap(({ node }) => node.inputs[index] ?? []);
    const sizes = inputs(0).map(({ shape }) => fixedDimAt(shape, CHANNELS));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const name = joinedName(group.map(({ binding }) => binding.name));
    const window = group[0]?.binding.input.shape ?? [];
    const past = state(name, [...window.slice(0, CHANNELS), total]);
    const biases = inputs(2);
    const { output, present } = causalConv(joinChannels(inputs(0).map(current)), joinedParameter(inputs(1), joined), {
      bias: biases.length === 0 ? undefined : joinedParameter(biases, joined),
      past,
      activation: (required(group[0], "a group").node.attributes as CausalConvAttributes).activation,
    });
    let end = 0;
    const outputs = sizes.map((size) => {
      end += size;
      return slice(output, CHANNELS, end - size, size);
    });
    return { outputs, binding: { name, input: past, output: present } };
  };
  const states = (current: (tensor: Tensor) => Tensor): StateBinding[] =>
    graph.states.flatMap(({ name, input, output }) => {
      const group = groupOf.get(output.node);
      const isFirst = group?.[0]?.binding.input === input;
      if (group === undefined || output.index !== 1) return [{ name, input: current(input), output: current(output) }];
      return isFirst ? (results.get(group)?.binding ?? []) : [];
    });
  const rewrite: Rewrite = (node, _, current) => {
    const group = groupOf.get(node);
    if (group === undefined) return undefined;
    const result = results.get(group) ?? merged(group, current);
    results.set(group, result);
    const output = result.outputs[group.findIndex((member) => member.node === node)];
    return output === undefined ? undefined : [output];
  };
  return { graph: rewriteGraph(graph, rewrite, states), joined };
}
