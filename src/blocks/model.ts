// A whole model as a graph: embedding, layers, head, and the loss for training. Nothing after this file knows what a
// layer is.
import { literal, mul as multiply, tanh } from "../graph/expression.ts";
import { makeGraph } from "../graph/graph.ts";
import { input } from "../graph/leaves.ts";
import { GraphError } from "../graph/shape.ts";
import { type Graph, type NamedTensor, type Tensor, withScope } from "../graph/types.ts";
import { concat } from "../ops/concat/op.ts";
import { crossEntropy } from "../ops/cross-entropy/op.ts";
import { gather } from "../ops/gather/op.ts";
import { add, pointwise, scale } from "../ops/map/op.ts";
import { linear } from "../ops/matmul/op.ts";
import { slice } from "../ops/slice/op.ts";
import type { ArchitectureSpec, ResolvedBranch, ResolvedLayer } from "../spec/types.ts";
import { attention } from "./attention.ts";
import { balance } from "./balance.ts";
import { type BlockContext, blockContext, type ModelContext } from "./context.ts";
import { gatedDelta } from "./gated-delta.ts";
import { latentAttention } from "./latent-attention.ts";
import { linearAttention } from "./linear-attention.ts";
import { mamba } from "./mamba.ts";
import { mamba2 } from "./mamba2.ts";
import { linear as linearLayer, mlp } from "./mlp.ts";
import { moe } from "./moe.ts";
import { applyNorm } from "./norm.ts";
import { projectOut } from "./projections.ts";
import { rgLru } from "./rg-lru.ts";
import { rnn } from "./rnn.ts";
import { s4d } from "./s4d.ts";
import { shortConv } from "./short-conv.ts";
import { wkv } from "./wkv.ts";

/** Inputs of model graphs: `tokens` i32 [B, T], where ids from the vocabulary's size on are those of prefix tokens; `position` i32 [B], tokens before this call; `positions` i32 [B, T], each
 * token's own position (only where positions are learned); `targets` i32 [B, T], -100 where nothing is to be predicted. */
export interface ModelGraphOptions {
  /** Whether states go in and out; without, every row starts from nothing. */
  readonly stateful: boolean;
  /** Compute logits of the last position only. */
  readonly lastOnly?: boolean;
}

interface Body {
  readonly context: ModelContext;
  readonly logits: Tensor;
}

function buildBody(spec: ArchitectureSpec, { stateful, lastOnly = false }: ModelGraphOptions): Body {
  const context: ModelContext = {
    stateful,
    parameters: new Map(),
    states: [],
    routers: [],
    position: stateful ? input("position", ["B"], "i32") : undefined,
    width: spec.d_model,
    init: spec.init,
    depth: spec.layers.length,
    keys: { latest: undefined },
  };
  const root = (name: string): BlockContext => blockContext(context, name, name);
  const table = root("embedding").weight("weight", spec.vocab_size, spec.d_model);
  const first = withScope("embedding", () => {
    const { prefix_tokens } = spec.embedding;
    const prefix = prefix_tokens > 0 ? [root("embedding").weight("prefix", prefix_tokens, spec.d_model)] : [];
    const vectors = scale(
      gather(concat([table, ...prefix], 0), input("tokens", ["B", "T"], "i32")),
      spec.embedding.scale,
    );
    const normed = (x: Tensor): Tensor => applyNorm(x, spec.embedding.norm, "norm", root("embedding"));
    if (spec.positions === null) return normed(vectors);
    const positions = root("positions").weight("weight", spec.positions.max_length, spec.d_model);
    return normed(add(vectors, gather(positions, input("positions", ["B", "T"], "i32"))));
  });
  let flow: Flow = { stream: first, side: undefined, first };
  for (const layer of spec.layers) {
    flow = withScope(`layers.${layer.index}`, () => {
      const result = applyLayer(flow, layer, context);
      return layer.output === "side" ? { ...flow, side: result } : { ...flow, stream: result };
    });
  }
  const x = flow.stream;
  const logits = withScope("head", () => {
    const last = lastOnly ? slice(x, 1, -1, 1) : x;
    const normed = applyNorm(last, spec.final_norm, "weight", root("final_norm"));
    const { tied, bias, scale: factor, softcap } = spec.head;
    const head = root("head");
    const weight = tied ? table : head.weight("weight", spec.vocab_size, spec.d_model);
    const scores = scale(linear(normed, weight, bias ? head.bias("bias", spec.vocab_size) : undefined), factor);
    if (softcap === null) return scores;
    return pointwise(scores, (s) => multiply(literal(softcap), tanh(multiply(s, literal(1 / softcap)))));
  });
  return { context, logits };
}

/** What goes from layer to layer. */
interface Flow {
  readonly stream: Tensor;
  readonly side: Tensor | undefined;
  /** What entered the first layer. */
  readonly first: Tensor;
}

function readInput({ stream, side, first }: Flow, { index, input: source }: ResolvedLayer): Tensor {
  if (source === "stream") return stream;
  if (source === "stream_and_embedding") return concat([stream, first], 2);
  if (side === undefined) throw new GraphError(`layer ${index} reads a side value that no layer before it has made`);
  return source === "side" ? side : add(stream, side);
}

/** One residual branch; the equation stands at ResolvedLayer. Returns the stream or the side value after it. */
function applyLayer(flow: Flow, layer: ResolvedLayer, model: ModelContext): Tensor {
  const at = (name: string, adapter: ResolvedBranch["adapter"] = null): BlockContext => {
    const weights = name === "" ? layer.weights : `${layer.weights}.${name}`;
    const projectsOut = name === "" || !layer.out_proj;
    return blockContext(model, weights, `layers.${layer.index}.${name}`, { adapter, projectsOut });
  };
  const normed = applyNorm(readInput(flow, layer), layer.norm, "norm", at(""));
  const y = scale(normed, layer.in_scale);
  const results = layer.branches.map((branch) =>
    withScope(branch.name, () => applyBranch(y, branch, at(branch.name, branch.adapter))),
  );
  const sum = results.reduce((total, result) => add(total, result));
  const combined = layer.combine === "mean" ? scale(sum, 1 / results.length) : sum;
  const projected = layer.out_proj ? projectOut(combined, "out_proj", at("")) : combined;
  const out = scale(applyNorm(projected, layer.post_norm, "post_norm", at("")), layer.out_scale);
  if (layer.output === "side" || layer.residual.source === "none") return out;
  return add(scale(layer.residual.source === "stream" ? flow.stream : normed, layer.residual.scale), out);
}

function applyBranch(y: Tensor, branch: ResolvedBranch, context: BlockContext): Tensor {
  const result = applyOperator(scale(y, branch.in_scale), branch.operator, context);
  return scale(applyNorm(result, branch.post_norm, "post_norm", context), branch.out_scale);
}

function applyOperator(x: Tensor, operator: ResolvedBranch["operator"], context: BlockContext): Tensor {
  switch (operator.type) {
    case "mamba":
      return mamba(x, operator, context);
    case "mamba2":
      return mamba2(x, operator, context);
    case "gated_delta":
      return gatedDelta(x, operator, context);
    case "linear_attention":
      return linearAttention(x, operator, context);
    case "attention":
      return attention(x, operator, context);
    case "latent_attention":
      return latentAttention(x, operator, context);
    case "short_conv":
      return shortConv(x, operator, context);
    case "rg_lru":
      return rgLru(x, operator, context);
    case "wkv":
      return wkv(x, operator, context);
    case "s4d":
      return s4d(x, operator, context);
    case "rnn":
      return rnn(x, operator, context);
    case "mlp":
      return mlp(x, operator, context);
    case "linear":
      return linearLayer(x, operator, context);
    case "moe":
      return moe(x, operator, context);
  }
}

/** tokens (and states) → `logits` f32 [B, T, V], or [B, 1, V] with lastOnly. */
export function buildForward(spec: ArchitectureSpec, options: ModelGraphOptions): Graph {
  const { context, logits } = buildBody(spec, options);
  return makeGraph({ outputs: [{ name: "logits", tensor: logits }], states: context.states });
}

/** tokens and targets → `loss`: mean cross entropy in nats over the targets that are not -100; and `logits`. */
export function buildLoss(spec: ArchitectureSpec): Graph {
  const { outputs } = lossOf(buildBody(spec, { stateful: false }));
  return makeGraph({ outputs });
}

/**
 * What training minimises: the outputs of {@link buildLoss}, `objective` (the loss and what keeps experts balanced), and what
 * `balance` says of routers.
 */
export function buildObjective(spec: ArchitectureSpec): Graph {
  const body = buildBody(spec, { stateful: false });
  const { loss, outputs } = lossOf(body);
  return withScope("balance", () => {
    const { penalty, outputs: facts } = balance(body.context.routers);
    const objective = penalty === undefined ? loss : add(loss, penalty);
    return makeGraph({ outputs: [...outputs, { name: "objective", tensor: objective }, ...facts] });
  });
}

function lossOf({ logits }: Body): { readonly loss: Tensor; readonly outputs: NamedTensor[] } {
  const { loss } = withScope("loss", () => crossEntropy(logits, input("targets", ["B", "T"], "i32")));
  return {
    loss,
    outputs: [
      { name: "loss", tensor: loss },
      { name: "logits", tensor: logits },
    ],
  };
}
