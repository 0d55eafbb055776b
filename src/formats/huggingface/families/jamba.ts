// Jamba (Lieber et al. 2024): Mamba-1 with norms of dt, B and C, attention without positions in some layers, experts in
// others.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy, unless } from "../family.ts";
import { linear, rule } from "../table.ts";
import { balanceLoss, moeFields } from "./moe.ts";
import {
  ACTIVATION_NAMES,
  attentionFields,
  mlpFields,
  operatorsOf,
  pairs,
  readDecoder,
  writeDecoder,
} from "./parts.ts";
import { attentionRules, decoderTable, expertRules, mambaRules, mlpRules, normRules } from "./rules.ts";
import { dtInit, MAMBA_PREFIXED, neutralSsmFields, readMamba, requireSilu, writeMamba } from "./state-space.ts";

export const jamba: Family = {
  modelTypes: ["jamba"],
  architecture: "JambaForCausalLM",
  convert,
  configure,
};

function convert(config: ConfigReader): Conversion {
  neutralSsmFields(config);
  // Numbers of kernels and of what is kept in float32.
  config.neutral("calc_logits_for_entire_prompt", "mamba_inner_layernorms", "n_ctx");
  requireSilu(config);
  config.must("sliding_window", [null], "attention in a window");
  const decoder = readDecoder(config, { width: 4096, vocabulary: 65536, eps: ["rms_norm_eps", 1e-6] });
  const { d_model } = decoder;
  const inner = Math.floor(config.number("mamba_expand", 2) * d_model);
  const mixer = { ...readMamba(config, MAMBA_PREFIXED, inner), inner_norm: true, ...dtInit(config) };
  const n_heads = config.count("num_attention_heads", 32);
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", 8),
    head_dim: unless(config.count("head_dim", Math.floor(d_model / n_heads)), d_model / n_heads),
  });
  const d_ff = config.count("intermediate_size", 14336);
  const experts = config.experts("num_experts", 16);
  const top_k = config.experts("num_experts_per_tok", 2);
  const router = { normalize: false, ...balanceLoss(config) };
  const layers = config.layers("num_hidden_layers", 32);
  const attends = periodic(config, "attn_layer", 8, 4);
  const routes = periodic(config, "expert_layer", 2, 1);
  const { stack, fields } = stackLayers(
    Array.from({ length: layers }, (_, i) => [attends(i) ? "*" : "M", experts > 1 && routes(i) ? "E" : "-"]),
    {
      M: { mixer },
      "*": { mixer: attention },
      "-": { ffn: mlpFields(d_ff, "silu") },
      E: { ffn: moeFields({ type: "moe", n_experts: experts, top_k, d_ff, router }) },
    },
  );
  return {
    file: { ...decoder, ...fields },
    stack,
    table: decoderTable({
      tied: decoder.head.tied,
      finalNorm: "final_layernorm",
      blocks: {
        M: [
          ...normRules("input_layernorm"),
          ...mambaRules("mamba."),
          ...["dt", "B", "C"].flatMap((name) => linear(`mamba.${name.toLowerCase()}_layernorm`, `mixer.${name}_norm`)),
        ],
        "*": [...normRules("input_layernorm"), ...attentionRules("self_attn.")],
        "-": [...normRules("pre_ff_layernorm"), ...mlpRules("feed_forward.")],
        E: [
          ...normRules("pre_ff_layernorm"),
          rule("feed_forward.router.weight", "ffn.router.weight"),
          expertRules("feed_forward."),
        ],
      },
    }),
  };
}

/** Whether a layer is one of those that come once in a period. */
function periodic(config: ConfigReader, name: string, period: number, offset: number): (layer: number) => boolean {
  const every = config.count(`${name}_period`, period);
  const at = config.count(`${name}_offset`, offset, { minimum: 0 });
  return (layer) => layer % every === at;
}

/** Period and offset of the layers for which `is` holds; a period beyond the stack where there is one or none. */
function period(layers: readonly boolean[]): readonly [period: number, offset: number] {
  const first = layers.indexOf(true);
  if (first < 0) return [layers.length + 1, layers.length];
  const second = layers.indexOf(true, first + 1);
  return second < 0 ? [layers.length + 1, first] : [second - first, first];
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [mixer] = operatorsOf(spec, "mamba");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const [moe] = operatorsOf(spec, "moe");
  const layers = pairs(spec.layers);
  if (mixer === undefined || layers === undefined || (mlp === undefined && moe === undefined)) return undefined;
  const [attentionPeriod, attentionOffset] = period(
    layers.map(([{ branches }]) => branches[0]?.operator.type === "attention"),
  );
  const [expertPeriod, expertOffset] = period(layers.map(([, { branches }]) => branches[0]?.operator.type === "moe"));
  return tidy({
    ...writeDecoder(spec),
    num_hidden_layers: layers.length,
    attn_layer_period: attentionPeriod,
    attn_layer_offset: attentionOffset,
    expert_layer_period: expertPeriod,
    expert_layer_offset: expertOffset,
    num_experts: moe?.n_experts ?? 1,
    num_experts_per_tok: moe?.top_k ?? 1,
    router_aux_loss_coef: moe?.router.balance_loss,
    intermediate_size: mlp?.d_ff ?? moe?.d_ff,
    hidden_act: ACTIVATION_NAMES[mlp?.activation ?? "silu"],
    ...writeMamba(mixer, MAMBA_PREFIXED),
    mamba_expand: mixer.d_inner / spec.d_model,
    num_attention_heads: attention?.n_heads ?? 1,
    num_key_value_heads: attention?.n_kv_heads ?? 1,
    head_dim: attention === undefined ? undefined : unless(attention.head_dim, spec.d_model / attention.n_heads),
    max_position_embeddings: 262144,
  });
}
