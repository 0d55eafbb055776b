// Reverse-mode differentiation of an ONNX graph: walks the nodes backwards once and lets each operator's rule add the nodes of
// its gradients. What is added are primitives of opset 17, as the forward pass is.
import type { OnnxBuilder } from "../builder.ts";
import { OnnxError } from "../error.ts";
import type { Adjoint, BuiltNode, NodeGroup, Value } from "../lowering.ts";
import { elementwiseRules } from "./elementwise.ts";
import { inferTypes } from "./inference.ts";
import { productRules } from "./products.ts";
import { structuralRules } from "./structural.ts";
import { createTape, type Vjp } from "./tape.ts";

const rules: Readonly<Record<string, Vjp>> = { ...elementwiseRules, ...structuralRules, ...productRules };

/**
 * The gradient of a scalar with respect to each of `wrt`; zeros where it does not depend on one.
 * @throws OnnxError for an operator on the way that has no rule
 */
export function differentiateOnnx(builder: OnnxBuilder, loss: Value, wrt: readonly Value[]): Value[] {
  const built = builder.built();
  const typeOf = inferTypes(built, (value) => builder.typeOf(value));
  const { nodes, adjoints } = grouped(built, builder.groups());
  const tape = createTape(builder, typeOf);
  const active = new Set<Value>(wrt);
  for (const { inputs, outputs } of nodes) {
    if (!inputs.some((input) => active.has(input))) continue;
    // Conditions, indices and sizes do not change smoothly.
    for (const output of outputs) if (typeOf(output).element === "f32") active.add(output);
  }

  const contributions = new Map<Value, Value[]>();
  const total = (value: Value): Value | undefined => {
    const parts = contributions.get(value);
    if (parts === undefined) return undefined;
    const [only] = parts;
    const sum = parts.length === 1 && only !== undefined ? only : tape.node("Sum", parts);
    contributions.set(value, [sum]);
    return sum;
  };
  contributions.set(loss, [tape.float(1)]);
  for (const node of [...nodes].reverse()) {
    const needs = node.inputs.map((input) => active.has(input));
    if (!needs.includes(true)) continue;
    builder.scope = gradientScope(node);
    const gradients = node.outputs.map((output) => (active.has(output) ? total(output) : undefined));
    if (gradients.every((gradient) => gradient === undefined)) continue;
    const adjoint = adjoints.get(node);
    const rule: Vjp | undefined = adjoint === undefined ? rules[node.op] : () => adjoint(gradients, needs);
    if (rule === undefined) throw new OnnxError(`${node.op} (${node.name}) has no backward rule in ONNX`);
    const inputs = node.inputs.map((input) => (input === "" ? undefined : input));
    const results = rule({ node, inputs, outputs: node.outputs, gradients, needs }, tape);
    for (const [i, input] of node.inputs.entries()) {
      const gradient = results[i];
      if (!needs[i] || gradient === undefined) continue;
      const parts = contributions.get(input);
      if (parts === undefined) contributions.set(input, [gradient]);
      else parts.push(gradient);
    }
  }
  builder.scope = "gradient";
  return wrt.map((value) => total(value) ?? tape.zerosLike(value));
}

/** Nodes, with one in place of each group. */
function grouped(built: readonly BuiltNode[], groups: readonly NodeGroup[]) {
  const nodes: BuiltNode[] = [];
  const adjoints = new Map<BuiltNode, Adjoint>();
  let at = 0;
  for (const { first, end, inputs, outputs, adjoint } of groups) {
    nodes.push(...built.slice(at, first));
    const name = built[first]?.name ?? "";
    const whole: BuiltNode = { name, op: "group", contrib: false, inputs, outputs, attributes: {} };
    // Sizes and places from inside may be read by nodes after it.
    nodes.push(whole);
    adjoints.set(whole, adjoint);
    at = end;
  }
  return { nodes: [...nodes, ...built.slice(at)], adjoints };
}

/** The place in the model that a node of the backward pass belongs to. */
function gradientScope({ name }: BuiltNode): string {
  const end = name.lastIndexOf("/");
  return end < 0 ? "gradient" : `gradient/${name.slice(0, end)}`;
}
