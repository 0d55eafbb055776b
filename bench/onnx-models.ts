// The peers of bench/models.ts: Mamba, Mamba-2 and Jamba-like models as good ONNX graphs, built by hand from an architecture
// and its weights. The recurrences are com.microsoft.LinearAttention (Mamba-1: one head per channel with keys of d_state
// and values of 1), projections that share an input are one product, residual adds are fused into the norms. Prefill
// starts from nothing and keeps no states; decoding takes one token and hands states on.
import type { ArchitectureSpec, AttentionSpec, Mamba2Spec, MambaSpec, MlpSpec, NormSpec } from "../src/spec/types.ts";
import { type Dimension, OnnxGraph } from "./onnx-graph.ts";
import type { Weights } from "./work.ts";

export interface OnnxStates {
  /** Shape of each state at the start; 0 where it grows. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
}

export interface OnnxPeer extends OnnxStates {
  readonly model: Uint8Array;
}

/** What the layers of one graph share. */
interface Context {
  readonly graph: OnnxGraph;
  readonly weights: Weights;
  /** Tokens of a call; 1 is decoding, with states. */
  readonly length: number;
  readonly shapes: Map<string, readonly number[]>;
}

function weight(
  { weights }: Context,
  name: string,
): { readonly shape: readonly number[]; readonly data: Float32Array } {
  const found = weights.get(name);
  if (found === undefined) throw new Error(`the model has no weight ${name}`);
  return found;
}

function constant(context: Context, name: string): string {
  const { shape, data } = weight(context, name);
  return context.graph.floats(name, shape, () => data);
}

/** x · [w0; w1; …]ᵀ as one product, for weights [n, k] of one input. */
function product(x: string, names: readonly string[], context: Context): string {
  const parts = names.map((name) => weight(context, name));
  const depth = parts[0]?.shape[1] ?? 0;
  const width = parts.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
  const transposed = (): Float32Array => {
    const data = new Float32Array(depth * width);
    let start = 0;
    for (const { shape, data: rows } of parts) {
      const size = shape[0] ?? 0;
      for (let n = 0; n < size; n++)
        for (let k = 0; k < depth; k++) data[k * width + start + n] = rows[n * depth + k] ?? 0;
      start += size;
    }
    return data;
  };
  return context.graph.node("MatMul", [x, context.graph.floats(`${names.join("+")}.T`, [depth, width], transposed)]);
}

const epsilon = (eps: number) => ({ float: eps });

function rmsNorm(x: string, name: string, eps: number, { graph, ...context }: Context): string {
  const attributes = { epsilon: epsilon(eps), axis: -1 };
  return graph.node("SimplifiedLayerNormalization", [x, constant({ graph, ...context }, name)], { attributes });
}

const silu = (x: string, graph: OnnxGraph): string => graph.node("Mul", [x, graph.node("Sigmoid", [x])]);

/** A state that goes in and comes out (decoding only). */
function state(name: string, shape: readonly number[], dims: readonly Dimension[], context: Context) {
  context.shapes.set(name, shape);
  const past = context.graph.input(`past.${name}`, "float", dims);
  const next = (value: string): void => context.graph.output(`present.${name}`, value, dims);
  return { past, next };
}

/** silu of a causal depthwise convolution over x [1, T, C] with the weights of several of our convolutions side by side. */
function convolve(x: string, names: readonly string[], stateName: string, context: Context): string {
  const { graph, length } = context;
  const join = (suffix: string): Float32Array => {
    const parts = names.map((name) => weight(context, `${name}.${suffix}`).data);
    const data = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let start = 0;
    for (const part of parts) {
      data.set(part, start);
      start += part.length;
    }
    return data;
  };
  const taps = weight(context, `${names[0]}.weight`).shape[1] ?? 1;
  const channels = names.reduce((sum, name) => sum + (weight(context, `${name}.weight`).shape[0] ?? 0), 0);
  const kernel = graph.floats(`${names.join("+")}.weight`, [channels, 1, taps], () => join("weight"));
  const bias = graph.floats(`${names.join("+")}.bias`, [channels], () => join("bias"));
  if (length > 1) {
    const columns = graph.node("Transpose", [x], { attributes: { perm: [0, 2, 1] } });
    const attributes = { group: channels, pads: [taps - 1, 0], kernel_shape: [taps] };
    const y = silu(graph.node("Conv", [columns, kernel, bias], { attributes }), graph);
    return graph.node("Transpose", [y], { attributes: { perm: [0, 2, 1] } });
  }
  const shape = [1, channels, taps - 1];
  const { past, next } = state(`${stateName}.conv`, shape, shape, context);
  const [y = "", present = ""] = graph.nodes(
    "CausalConvWithState",
    [graph.reshape(x, [1, channels, 1]), kernel, bias, past],
    { attributes: { activation: "silu" }, contrib: true, outputs: 2 },
  );
  next(present);
  return graph.reshape(y, [1, 1, channels]);
}

/** com.microsoft.LinearAttention with a decay, one query and key head and `heads` value heads. */
function gatedAttention(
  inputs: readonly [query: string, key: string, value: string, decay: string],
  stateShape: readonly number[],
  name: string,
  context: Context,
): string {
  const { graph, length } = context;
  const carried = length === 1 ? state(`${name}.ssm`, stateShape, stateShape, context) : undefined;
  const attributes = { update_rule: "gated", scale: { float: 1 }, q_num_heads: 1, kv_num_heads: stateShape[1] ?? 1 };
  const [query, key, value, decay] = inputs;
  const [y = "", present = ""] = graph.nodes("LinearAttention", [query, key, value, carried?.past ?? "", decay], {
    attributes,
    contrib: true,
    outputs: 2,
  });
  carried?.next(present);
  return y;
}

function mamba(x: string, name: string, spec: MambaSpec, context: Context): string {
  const { graph, length } = context;
  const { d_inner, d_state, dt_rank, inner_norm } = spec;
  const [branch = "", z = ""] = graph.split(
    product(x, [`${name}.in_proj_x.weight`, `${name}.in_proj_z.weight`], context),
    [d_inner, d_inner],
  );
  const u = convolve(branch, [`${name}.conv`], name, context);
  const projections = ["dt", "B", "C"].map((part) => `${name}.x_proj_${part}.weight`);
  const parts = graph.split(product(u, projections, context), [dt_rank, d_state, d_state]);
  const [dt = "", B = "", C = ""] = parts.map((part, i) =>
    inner_norm === null ? part : rmsNorm(part, `${name}.${["dt", "B", "C"][i]}_norm.weight`, inner_norm.eps, context),
  );
  const driven = product(dt, [`${name}.dt_proj.weight`], context);
  const delta = graph.node("Softplus", [graph.node("Add", [driven, constant(context, `${name}.dt_proj.bias`)])]);
  const rates = graph.floats(`${name}.A`, [d_inner, d_state], () =>
    weight(context, `${name}.A_log`).data.map((a) => -Math.exp(a)),
  );
  const decay = graph.node("Mul", [graph.reshape(delta, [1, length, d_inner, 1]), rates]);
  const y = gatedAttention(
    [C, B, graph.node("Mul", [delta, u]), graph.reshape(decay, [1, length, d_inner * d_state])],
    [1, d_inner, d_state, 1],
    name,
    context,
  );
  const skipped = graph.node("Add", [y, graph.node("Mul", [u, constant(context, `${name}.D`)])]);
  return product(graph.node("Mul", [skipped, silu(z, graph)]), [`${name}.out_proj.weight`], context);
}

function mamba2(x: string, name: string, spec: Mamba2Spec, context: Context): string {
  const { graph, length } = context;
  const { d_inner, d_state, n_heads, head_dim, n_groups, gated_norm } = spec;
  if (n_groups !== 1 || gated_norm?.order !== "gate_then_norm") throw new Error("only the form of mamba2-130m");
  const projections = ["x", "B", "C", "z", "dt"].map((part) => `${name}.in_proj_${part}.weight`);
  const [mixed = "", z = "", dt = ""] = graph.split(product(x, projections, context), [
    d_inner + 2 * d_state,
    d_inner,
    n_heads,
  ]);
  const convolved = convolve(
    mixed,
    ["x", "B", "C"].map((part) => `${name}.conv_${part}`),
    name,
    context,
  );
  const [u = "", B = "", C = ""] = graph.split(convolved, [d_inner, d_state, d_state]);
  const delta = graph.node("Softplus", [graph.node("Add", [dt, constant(context, `${name}.dt_bias`)])]);
  const rates = graph.floats(`${name}.A`, [n_heads], () =>
    weight(context, `${name}.A_log`).data.map((a) => -Math.exp(a)),
  );
  const heads = graph.reshape(u, [1, length, n_heads, head_dim]);
  const value = graph.node("Mul", [heads, graph.reshape(delta, [1, length, n_heads, 1])]);
  const y = gatedAttention(
    [C, B, graph.reshape(value, [1, length, d_inner]), graph.node("Mul", [delta, rates])],
    [1, n_heads, d_state, head_dim],
    name,
    context,
  );
  // D per channel, so that the product needs no heads.
  const skip = graph.floats(`${name}.D.channels`, [d_inner], () =>
    Float32Array.from({ length: d_inner }, (_, i) => weight(context, `${name}.D`).data[Math.floor(i / head_dim)] ?? 0),
  );
  const gated = graph.node("Mul", [graph.node("Add", [y, graph.node("Mul", [u, skip])]), silu(z, graph)]);
  return product(rmsNorm(gated, `${name}.norm.weight`, gated_norm.eps, context), [`${name}.out_proj.weight`], context);
}

function attention(x: string, name: string, spec: AttentionSpec, context: Context): string {
  const { graph, length } = context;
  const { n_heads, n_kv_heads, head_dim } = spec;
  const projections = ["q", "k", "v"].map((part) => `${name}.${part}_proj.weight`);
  const [q = "", k = "", v = ""] = graph.split(product(x, projections, context), [
    n_heads * head_dim,
    n_kv_heads * head_dim,
    n_kv_heads * head_dim,
  ]);
  const cache = (kind: string) => {
    const past = graph.input(`past.${name}.${kind}`, "float", [1, n_kv_heads, "past", head_dim]);
    context.shapes.set(`${name}.${kind}`, [1, n_kv_heads, 0, head_dim]);
    return past;
  };
  const pasts = length === 1 ? [cache("key"), cache("value")] : ["", ""];
  const [y = "", ...presents] = graph.nodes("GroupQueryAttention", [q, k, v, ...pasts, "last_key", "total_length"], {
    attributes: { num_heads: n_heads, kv_num_heads: n_kv_heads },
    contrib: true,
    outputs: 3,
  });
  if (length === 1) {
    for (const [i, kind] of ["key", "value"].entries())
      graph.output(`present.${name}.${kind}`, presents[i] ?? "", [1, n_kv_heads, "total", head_dim]);
  }
  return product(y, [`${name}.o_proj.weight`], context);
}

function mlp(x: string, name: string, { d_ff }: MlpSpec, context: Context): string {
  const { graph } = context;
  const both = product(x, [`${name}.gate_proj.weight`, `${name}.up_proj.weight`], context);
  const [gate = "", up = ""] = graph.split(both, [d_ff, d_ff]);
  return product(graph.node("Mul", [silu(gate, graph), up]), [`${name}.down_proj.weight`], context);
}

function normOf(norm: NormSpec | null): NormSpec {
  if (norm?.type !== "rms_norm") throw new Error("only RMS norms");
  return norm;
}

/** Inputs tokens int64 [1, T] and past.*; outputs logits [1, 1, V] of the last token and present.*. */
export function buildOnnxModel(spec: ArchitectureSpec, weights: Weights, length: number): OnnxPeer {
  const graph = new OnnxGraph();
  const context: Context = { graph, weights, length, shapes: new Map() };
  const tokens = graph.input("tokens", "int64", [1, length]);
  if (spec.layers.some((layer) => layer.branches[0]?.operator.type === "attention")) {
    graph.input("last_key", "int32", [1]);
    graph.input("total_length", "int32", []);
  }
  let stream = graph.node("Gather", [constant(context, "embedding.weight"), tokens]);
  let added: string | undefined;
  /** The norm of stream + added, both of which become the new stream. */
  const norm = (name: string, spec: NormSpec | null): string => {
    const { eps } = normOf(spec);
    if (added === undefined) return rmsNorm(stream, name, eps, context);
    const [y = "", , , sum = ""] = graph.nodes(
      "SkipSimplifiedLayerNormalization",
      [stream, added, constant(context, name)],
      { attributes: { epsilon: epsilon(eps) }, contrib: true, outputs: 4 },
    );
    stream = sum;
    return y;
  };
  for (const layer of spec.layers) {
    const [branch] = layer.branches;
    if (branch === undefined) throw new Error("a layer without branches");
    const x = norm(`${layer.weights}.norm.weight`, layer.norm);
    const name = `${layer.weights}.${branch.name}`;
    const { operator } = branch;
    if (operator.type === "mamba") added = mamba(x, name, operator, context);
    else if (operator.type === "mamba2") added = mamba2(x, name, operator, context);
    else if (operator.type === "attention") added = attention(x, name, operator, context);
    else if (operator.type === "mlp") added = mlp(x, name, operator, context);
    else throw new Error(`no ONNX graph for ${operator.type}`);
  }
  const last = graph.integers([length - 1]);
  if (length > 1) {
    stream = graph.node("Gather", [stream, last], { attributes: { axis: 1 } });
    added = graph.node("Gather", [added ?? "", last], { attributes: { axis: 1 } });
  }
  const normed = norm("final_norm.weight.weight", spec.final_norm);
  const logits = product(normed, [spec.head.tied ? "embedding.weight" : "head.weight"], context);
  graph.output("logits", logits, [1, 1, spec.vocab_size]);
  return { model: graph.encode(), shapes: context.shapes };
}
