// Weight rules that several families have in common.
import type { WeightTable } from "../family.ts";
import { type Alternatives, convolution, type IgnoredTensor, linear, type Rule, rule } from "../table.ts";

/** What the parameters of the norm before the head are called, without .weight and .bias. */
export const FINAL_NORM = "final_norm.weight";

/** Tensors of a Mamba-1 layer; `at` is what their names begin with. */
export function mambaRules(at: string, mixer = "mixer"): Rule[] {
  const own = (name: string): string => `${mixer}.${name}`;
  return [
    ...linear(`${at}in_proj`, [own("in_proj_x"), own("in_proj_z")]),
    ...convolution(`${at}conv1d`, own("conv")),
    rule(`${at}x_proj.weight`, [own("x_proj_dt.weight"), own("x_proj_B.weight"), own("x_proj_C.weight")]),
    ...linear(`${at}dt_proj`, own("dt_proj")),
    rule(`${at}A_log`, own("A_log")),
    rule(`${at}D`, own("D")),
    ...linear(`${at}out_proj`, own("out_proj")),
  ];
}

/** Tensors of a Mamba-2 layer. */
export function mamba2Rules(at: string, mixer = "mixer"): Rule[] {
  const own = (...names: string[]): string[] => names.map((name) => `${mixer}.${name}`);
  return [
    ...linear(`${at}in_proj`, own("in_proj_z", "in_proj_x", "in_proj_B", "in_proj_C", "in_proj_dt")),
    ...convolution(`${at}conv1d`, own("conv_x", "conv_B", "conv_C")),
    rule(`${at}dt_bias`, own("dt_bias")),
    rule(`${at}A_log`, own("A_log")),
    rule(`${at}D`, own("D")),
    rule(`${at}norm.weight`, own("norm.weight")),
    ...linear(`${at}out_proj`, own("out_proj")),
  ];
}

/** Tensors of an attention layer with separate projections. `out` is the name of the output projection. */
export function attentionRules(at: string, mixer = "mixer", out = "o_proj"): Rule[] {
  const own = (name: string): string => `${mixer}.${name}`;
  return [
    ...["q_proj", "k_proj", "v_proj"].flatMap((name) => linear(`${at}${name}`, own(name))),
    ...linear(`${at}${out}`, own("o_proj")),
  ];
}

/** Tensors of an MLP. */
export function mlpRules(at: string, [gate, up, down]: MlpNames = PROJECTIONS): Rule[] {
  return [
    ...linear(`${at}${gate}`, "ffn.gate_proj"),
    ...linear(`${at}${up}`, "ffn.up_proj"),
    ...linear(`${at}${down}`, "ffn.down_proj"),
  ];
}

/** Names of an MLP's three matrices, or of an expert's. */
export type MlpNames = readonly [gate: string, up: string, down: string];

const PROJECTIONS: MlpNames = ["gate_proj", "up_proj", "down_proj"];

/**
 * Experts, a tensor for each matrix of each, or, as transformers holds them in memory, stacked and with gate and up in one.
 * `gated`: whether there is a gate at all.
 */
export function expertRules(at: string, names: MlpNames = PROJECTIONS, gated = true): Alternatives {
  const own = PROJECTIONS.map((name) => `ffn.experts.${name}.weight`);
  const used = gated ? [0, 1, 2] : [1, 2];
  const split = used.map((i) => rule(`${at}experts.{expert}.${names[i]}.weight`, own[i] ?? ""));
  return {
    either: [split, fusedExperts(`${at}experts.gate_up_proj`, `${at}experts.down_proj`, gated, `${at}experts.up_proj`)],
  };
}

/** Experts stacked along the first axis: gate and up as [experts, 2 · d_ff, width], down as [experts, width, d_ff]. */
export function fusedExperts(
  gateUp: string | readonly string[],
  down: string | readonly string[],
  gated = true,
  up = "",
): Rule[] {
  const own = (name: string): string => `ffn.experts.${name}.weight`;
  return [
    gated ? { ...rule(gateUp, [own("gate_proj"), own("up_proj")]), perExpert: true } : rule(up, own("up_proj")),
    rule(down, own("down_proj")),
  ];
}

/** An expert that every token uses, and its gate where it has one. */
export function sharedExpertRules(at: string, gate?: string): Rule[] {
  return [
    ...PROJECTIONS.flatMap((name) => linear(`${at}${name}`, `ffn.shared.${name}`)),
    ...(gate === undefined ? [] : [rule(gate, "ffn.shared.output_gate.weight")]),
  ];
}

/** A norm's weight and, where it has one, bias. */
export function normRules(stored: string | readonly string[], parameter = "norm"): Rule[] {
  return linear(stored, parameter);
}

/** What a tied model's checkpoint may hold besides the embeddings. */
export function tiedHead(tied: boolean, name = "lm_head.weight"): readonly IgnoredTensor[] {
  return tied ? [{ stored: name, reason: "the head is tied: it is the table of embeddings" }] : [];
}

/** What is left to say of the table of a decoder whose tensors have the usual names. */
export interface DecoderTable {
  readonly tied: boolean;
  /** Name of the norm before the head; default `norm`. */
  readonly finalNorm?: string;
  /** Default `model.` and nothing. */
  readonly prefixes?: readonly string[];
  /** Default `embed_tokens`. */
  readonly embedding?: string | readonly string[];
  /** Whole name; default `lm_head`. */
  readonly head?: string | readonly string[];
  readonly blocks: Readonly<Record<string, readonly (Rule | Alternatives)[]>>;
  readonly ignored?: readonly IgnoredTensor[];
}

/** Embeddings, layers, norm and head under their usual names. */
export function decoderTable({
  tied,
  finalNorm = "norm",
  prefixes = ["model.", ""],
  embedding = "embed_tokens",
  head = "lm_head",
  blocks,
  ignored = [],
}: DecoderTable): WeightTable {
  return {
    prefixes,
    body: [...linear(embedding, "embedding"), ...normRules(finalNorm, FINAL_NORM)],
    head: linear(head, "head"),
    layer: "layers.{layer}.",
    blocks,
    ignored: [...tiedHead(tied), ...ignored],
  };
}
