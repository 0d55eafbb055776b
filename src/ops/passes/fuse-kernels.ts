// Fuses what a named kernel can do along the way: residual add + norm, convolution + SiLU, gates into norms and scans.
// Runs before differentiation; the fused ops have gradients of their own. One walk over the graph: at a node that can
// take in its reader, the fused node is made at once and the reader is marked to pass its result through.
import { type Expression, formatExpression, input, mul, sigmoid, silu } from "../../graph/expression.ts";
import { rewriteGraph, usesOf } from "../../graph/graph.ts";
import { sameShape } from "../../graph/shape.ts";
import { apply, type Graph, type Node, type Tensor } from "../../graph/types.ts";
import { causalConvOp } from "../causal-conv/op.ts";
import { layerNormOp } from "../layer-norm/op.ts";
import { mapOp } from "../map/op.ts";
import { type RmsNormAttributes, rmsNormOp } from "../rms-norm/op.ts";
import { selectiveScanOp } from "../selective-scan/op.ts";
import { required } from "../types.ts";

const [x0, x1] = [input(0), input(1)];
const sumText = formatExpression({ kind: "call", fn: "add", args: [x0, x1] });
const productText = formatExpression(mul(x0, x1));
const siluText = formatExpression(silu(x0));
const sigmoidText = formatExpression(sigmoid(x0));
/** x0 · act(x1) in both orders of its inputs. */
const gateTexts = (["silu", "sigmoid"] as const).map((activation) => {
  const act = activation === "silu" ? silu : sigmoid;
  const texts = [formatExpression(mul(x0, act(x1))), formatExpression(mul(x1, act(x0)))] as const;
  const swapped = [formatExpression(mul(act(x1), x0)), formatExpression(mul(act(x0), x1))] as const;
  return { activation, texts, swapped };
});

function expressionText(node: Node | undefined): string | undefined {
  if (node?.op.name !== mapOp.name) return undefined;
  return formatExpression((node.attributes as { readonly expression: Expression }).expression);
}

interface Gate {
  readonly value: Tensor;
  readonly gate: Tensor;
  readonly activation: "silu" | "sigmoid";
}

/** The tensor of which `activated` is silu or sigmoid, for the only node that reads that. */
function gateBefore(activated: Tensor, value: Tensor, readers: ReadonlyMap<Tensor, readonly Node[]>): Gate | undefined {
  const text = expressionText(activated.node);
  const [gate] = activated.node.inputs;
  if (gate === undefined || readers.get(activated)?.length !== 1) return undefined;
  if (text === siluText) return { value, gate, activation: "silu" };
  return text === sigmoidText ? { value, gate, activation: "sigmoid" } : undefined;
}

/** Reads `value · act(gate)` off a map of two tensors of equal shape, or off two maps. */
function gateOf(node: Node | undefined, readers: ReadonlyMap<Tensor, readonly Node[]>): Gate | undefined {
  const written = expressionText(node);
  const [x, y] = node?.inputs ?? [];
  if (x === undefined || y === undefined || !sameShape(x.shape, y.shape)) return undefined;
  if (written === productText) return gateBefore(y, x, readers) ?? gateBefore(x, y, readers);
  for (const { activation, texts, swapped } of gateTexts) {
    if (written === texts[0] || written === swapped[0]) return { value: x, gate: y, activation };
    if (written === texts[1] || written === swapped[1]) return { value: y, gate: x, activation };
  }
  return undefined;
}

/** Applies every fusion that fits. */
export function fuseKernels(graph: Graph): Graph {
  const { readers, leaving } = usesOf(graph);
  /** The only node that reads `tensor`. */
  const onlyReader = (tensor: Tensor | undefined): Node | undefined => {
    const list = tensor === undefined ? undefined : readers.get(tensor);
    return tensor !== undefined && list?.length === 1 && !leaving.has(tensor) ? list[0] : undefined;
  };
  /** Nodes that an earlier node has taken in, and what they become. */
  const absorbed = new Map<Node, (inputs: readonly (Tensor | undefined)[]) => readonly Tensor[]>();
  const passThrough = (position: number) => (inputs: readonly (Tensor | undefined)[]) => [
    required(inputs[position], "fused tensor"),
  ];

  return rewriteGraph(graph, (node, inputs, current) => {
    const taken = absorbed.get(node);
    if (taken !== undefined) return taken(inputs);
    const [output] = node.outputs;
    const reader = onlyReader(output);

    if (node.op.name === causalConvOp.name && expressionText(reader) === siluText && reader !== undefined) {
      const attributes = node.attributes as { readonly activation: "none" | "silu" };
      if (attributes.activation !== "none") return undefined;
      absorbed.set(reader, passThrough(0));
      return apply(causalConvOp, inputs, { ...attributes, activation: "silu" });
    }

    const gated = gateOf(reader, readers);
    if (gated !== undefined && gated.value === output && reader !== undefined && gated.gate.node.id < node.id) {
      const position = reader.inputs.indexOf(output);
      if (node.op.name === selectiveScanOp.name && inputs[6] === undefined && gated.activation === "silu") {
        absorbed.set(reader, passThrough(position));
        return apply(
          selectiveScanOp,
          inputs.map((tensor, i) => (i === 6 ? current(gated.gate) : tensor)),
          node.attributes as { readonly deltaSoftplus: boolean },
        );
      }
      if (node.op.name === rmsNormOp.name && inputs[2] === undefined && inputs[3] === undefined) {
        absorbed.set(reader, passThrough(position));
        const attributes = node.attributes as RmsNormAttributes;
        const gateActivation = gated.activation;
        return apply(rmsNormOp, [inputs[0], inputs[1], current(gated.gate), undefined], {
          ...attributes,
          normBeforeGate: true,
          gateActivation,
        });
      }
    }

    const own = gateOf(node, readers);
    if (
      own !== undefined &&
      reader?.op.name === rmsNormOp.name &&
      reader.inputs[0] === output &&
      reader.inputs[2] === undefined
    ) {
      if (reader.inputs[3] !== undefined) return undefined;
      const gateTensor = current(own.gate);
      absorbed.set(reader, ([value, weight]) =>
        apply(rmsNormOp, [value, weight, gateTensor, undefined], {
          ...(reader.attributes as RmsNormAttributes),
          normBeforeGate: false,
          gateActivation: own.activation,
        }),
      );
      return [current(own.value)];
    }

    if (expressionText(node) === sumText && output !== undefined)
      return fuseResidual(inputs, readers.get(output) ?? [], output);
    return undefined;
  });

  /** a + b read by a norm → one norm with both, whose second output is the sum. */
  function fuseResidual(
    [a, b]: readonly (Tensor | undefined)[],
    nodes: readonly Node[],
    sum: Tensor,
  ): readonly Tensor[] | undefined {
    if (a === undefined || b === undefined || !sameShape(a.shape, b.shape)) return undefined;
    const norm = nodes.find((node) => {
      const isNorm = node.op.name === rmsNormOp.name || node.op.name === layerNormOp.name;
      const weightsReady = node.inputs.every(
        (tensor) => tensor === undefined || tensor === sum || tensor.node.op.leaf !== undefined,
      );
      return isNorm && node.inputs[0] === sum && node.inputs[3] === undefined && weightsReady && !absorbed.has(node);
    });
    if (norm === undefined) return undefined;
    const [y, total] = apply(norm.op, [a, norm.inputs[1], norm.inputs[2], b], norm.attributes);
    absorbed.set(norm, () => [required(y, "normed sum")]);
    return [required(total, "sum")];
  }
}
