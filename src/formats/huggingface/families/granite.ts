// Granite 4 (IBM 2025): Mamba-2 and attention layers whose branches are scaled, with experts and a shared MLP, or with the
// shared MLP alone.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy, unless } from "../family.ts";
import { readRope, writeRope } from "../rope.ts";
import { linear, rule } from "../table.ts";
import { balanceLoss, moeFields } from "./moe.ts";
import { attentionFields, mlpFields, operatorsOf, pairs, readDecoder, readLayerTypes, writeDecoder } from "./parts.ts";
import { attentionRules, decoderTable, fusedExperts, mamba2Rules, normRules } from "./rules.ts";
import { neutralSsmFields, readExpandedMamba2, requireSilu, writeExpandedMamba2 } from "./state-space.ts";

export const granite: Family = {
  modelTypes: ["granitemoehybrid"],
  architecture: "GraniteMoeHybridForCausalLM",
  convert,
  configure,
};

const MAMBA = "linear_attention";
const ATTENTION = "full_attention";

function convert(config: ConfigReader): Conversion {
  neutralSsmFields(config);
  config.neutral("mamba_chunk_size", "init_method", "normalization_function");
  requireSilu(config);
  const decoder = readDecoder(config, { width: 4096, vocabulary: 32000, eps: ["rms_norm_eps", 1e-6] });
  const { d_model } = decoder;
  const mixer = readExpandedMamba2(config, d_model);
  const n_heads = config.count("num_attention_heads", 32);
  const bias = config.flag("attention_bias", false);
  const rotated = config.choice("position_embedding_type", { nope: false, rope: true }, "nope");
  const rope = readRope(config, { maxLength: 2048 });
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", n_heads),
    scale: config.number("attention_multiplier", 1),
    rope: rotated ? rope : undefined,
    qkv_bias: bias,
    output_bias: bias,
  });
  const shared = config.count("shared_intermediate_size", 1024);
  const experts = config.experts("num_local_experts", 8);
  const top_k = config.experts("num_experts_per_tok", 2);
  const d_ff = config.count("intermediate_size", 11008);
  const router = balanceLoss(config);
  const ffn =
    experts === 0
      ? mlpFields(shared, "silu")
      : moeFields({ type: "moe", n_experts: experts, top_k, d_ff, router, shared: { d_ff: shared } });
  const layers = config.layers("num_hidden_layers", 32);
  const types = readLayerTypes(config, ["layer_types", "layers_block_type"], layers, [MAMBA, ATTENTION], () => MAMBA);
  const out_scale = unless(config.number("residual_multiplier", 1), 1);
  const scale = config.number("embedding_multiplier", 1);
  const { stack, fields } = stackLayers(
    types.map((type) => [type === ATTENTION ? "*" : "M", experts === 0 ? "-" : "E"]),
    {
      M: tidy({ mixer, out_scale }),
      "*": tidy({ mixer: attention, out_scale }),
      "-": tidy({ ffn, out_scale }),
      E: tidy({ ffn, out_scale }),
    },
  );
  return {
    file: tidy({
      ...decoder,
      embedding: scale === 1 ? undefined : { scale },
      head: tidy({ ...decoder.head, scale: unless(1 / config.number("logits_scaling", 1), 1) }),
      ...fields,
    }),
    stack,
    table: decoderTable({
      tied: decoder.head.tied,
      blocks: {
        M: [...normRules("input_layernorm"), ...mamba2Rules("mamba.")],
        "*": [...normRules("input_layernorm"), ...attentionRules("self_attn.")],
        "-": [
          ...normRules("post_attention_layernorm"),
          ...linear("shared_mlp.input_linear", ["ffn.gate_proj", "ffn.up_proj"]),
          ...linear("shared_mlp.output_linear", "ffn.down_proj"),
        ],
        E: [
          ...normRules("post_attention_layernorm"),
          rule(["block_sparse_moe.router.layer.weight", "block_sparse_moe.router.weight"], "ffn.router.weight"),
          ...fusedExperts(
            ["block_sparse_moe.input_linear.weight", "block_sparse_moe.experts.gate_up_proj"],
            ["block_sparse_moe.output_linear.weight", "block_sparse_moe.experts.down_proj"],
          ),
          ...linear("shared_mlp.input_linear", ["ffn.shared.gate_proj", "ffn.shared.up_proj"]),
          ...linear("shared_mlp.output_linear", "ffn.shared.down_proj"),
        ],
      },
    }),
  };
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [mixer] = operatorsOf(spec, "mamba2");
  const [attention] = operatorsOf(spec, "attention");
  const [mlp] = operatorsOf(spec, "mlp");
  const [moe] = operatorsOf(spec, "moe");
  const layers = pairs(spec.layers);
  const shared = moe === undefined ? mlp?.d_ff : moe.shared?.d_ff;
  if (mixer === undefined || layers === undefined || shared === undefined) return undefined;
  return tidy({
    ...writeDecoder(spec),
    ...writeExpandedMamba2(mixer, spec.d_model),
    num_hidden_layers: layers.length,
    layer_types: layers.map(([{ branches }]) => (branches[0]?.operator.type === "attention" ? ATTENTION : MAMBA)),
    num_attention_heads: attention?.n_heads ?? 1,
    num_key_value_heads: attention?.n_kv_heads ?? 1,
    attention_multiplier: attention?.scale,
    attention_bias: attention?.qkv_bias,
    position_embedding_type: attention?.rope == null ? "nope" : "rope",
    rope_parameters: attention?.rope == null ? undefined : writeRope(attention.rope, attention.head_dim),
    embedding_multiplier: spec.embedding.scale,
    residual_multiplier: spec.layers[0]?.out_scale,
    logits_scaling: Number((1 / spec.head.scale).toPrecision(15)),
    num_local_experts: moe?.n_experts ?? 0,
    num_experts_per_tok: moe?.top_k ?? 0,
    router_aux_loss_coef: moe?.router.balance_loss,
    intermediate_size: moe?.d_ff ?? shared,
    shared_intermediate_size: shared,
    hidden_act: "silu",
    max_position_embeddings: 2048,
  });
}
