// A planned graph as dispatches: every step is lowered by its op's facet.
import type { Plan } from "../../graph/plan.ts";
import type { Bindings } from "../../graph/shape.ts";
import { type Node, nodeName, type Tensor } from "../../graph/types.ts";
import { RuntimeError } from "../types.ts";
import type { GpuContext } from "./device.ts";
import { Inlined, inlineDispatch } from "./inline.ts";
import type { Dispatch, Emitter, GpuLowering, GpuNode, GpuTensor, Scratch } from "./lowering.ts";
import { lowerings } from "./table.ts";
import type { Tuner } from "./tuner.ts";

export interface Step {
  readonly node: Node;
  readonly dispatches: Dispatch[];
  readonly scratch: Scratch[];
}

/** @throws RuntimeError for an op without a kernel, or one that can't run with these sizes here. */
export function lowerStep(
  node: Node,
  proxyOf: (tensor: Tensor | undefined) => GpuTensor | undefined,
  layout: Plan,
  bindings: Bindings,
  { context, tuner }: { readonly context: GpuContext; readonly tuner: Tuner },
): Step {
  const lower = (lowerings as Readonly<Record<string, GpuLowering<unknown>>>)[node.op.name];
  if (lower === undefined)
    throw new RuntimeError(`${nodeName(node)} can't run on the webgpu runtime: it has no kernel`);
  const step: Step = { node, dispatches: [], scratch: [] };
  const attributes = node.op.bind?.(node.attributes, bindings) ?? node.attributes;
  const inputs = node.inputs.map(proxyOf);
  const outputs = node.outputs.map((output) => (layout.storage.has(output) ? proxyOf(output) : undefined));
  const inlined = attributes instanceof Inlined ? attributes : undefined;
  const seen = inlined?.virtualInputs(inputs) ?? inputs;
  const bound: GpuNode<unknown> = { attributes: inlined?.attributes ?? attributes, inputs: seen, outputs };
  const emit: Emitter = {
    device: context.facts,
    dispatch(dispatch) {
      step.dispatches.push(inlined === undefined ? dispatch : inlineDispatch(dispatch, inlined, seen, inputs));
    },
    scratch(bytes) {
      const scratch: Scratch = { kind: "scratch", bytes: Math.max(16, Math.ceil(bytes / 4) * 4) };
      step.scratch.push(scratch);
      return scratch;
    },
    inPlace(input, output) {
      const [source, result] = [node.inputs[input], node.outputs[output]].map((t) => t && layout.storage.get(t));
      if (source === undefined || result === undefined) return false;
      if (source.kind === "leaf") return result.kind === "leaf" && result.leaf === source.leaf;
      return result.kind === "arena" && result.request === source.request;
    },
    tuned: (key, candidates) => tuner.choose(`${node.op.name} ${key}`, candidates, node.op, bound),
  };
  lower(bound, emit);
  return step;
}
