// MiniMax-01 (MiniMax 2025): lightning attention and softmax attention in turn, experts after each; branches are added to
// the normed stream, scaled.
import type { ArchitectureSpec, ResolvedLayer } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy, unless } from "../family.ts";
import { readRope, writeRope } from "../rope.ts";
import { linear, rule } from "../table.ts";
import { balanceLoss, moeFields } from "./moe.ts";
import { attentionFields, operatorsOf, pairs, readDecoder, readLayerTypes, writeDecoder } from "./parts.ts";
import { attentionRules, decoderTable, expertRules, normRules } from "./rules.ts";

export const minimax: Family = {
  modelTypes: ["minimax"],
  architecture: "MiniMaxForCausalLM",
  convert,
  configure,
};

const LINEAR = "linear_attention";
const FULL = "full_attention";
/** eps of the norm of lightning attention's output, which the configuration does not say. */
const OUTPUT_EPS = 1e-6;

function convert(config: ConfigReader): Conversion {
  // The length of the pieces in which lightning attention is computed, and noise in training.
  config.neutral("block_size", "router_jitter_noise");
  config.must("hidden_act", [null, "silu", "swish"], "another activation");
  const decoder = readDecoder(config, { width: 4096, vocabulary: 32000, eps: ["rms_norm_eps", 1e-5] });
  const { d_model } = decoder;
  const n_heads = config.count("num_attention_heads", 32);
  const head_dim = config.count("head_dim", Math.floor(d_model / n_heads));
  const own = unless(head_dim, d_model / n_heads);
  const lightning = tidy({
    type: "linear_attention" as const,
    n_heads,
    key_head_dim: own,
    feature_map: "silu" as const,
    value_activation: "silu" as const,
    decay: "lightning" as const,
    scale: 1,
    output_norm: { over: "all" as const, eps: OUTPUT_EPS },
    output_gate: "sigmoid" as const,
  });
  const window = config.value("sliding_window") === undefined ? undefined : config.count("sliding_window");
  const attention = attentionFields({
    type: "attention",
    n_heads,
    n_kv_heads: config.count("num_key_value_heads", 8),
    head_dim: own,
    window,
    rope: readRope(config, { theta: 1_000_000, maxLength: 131_072 }),
  });
  const moe = moeFields({
    type: "moe",
    n_experts: config.experts("num_local_experts", 8),
    top_k: config.experts("num_experts_per_tok", 2),
    d_ff: config.count("intermediate_size", 14336),
    router: balanceLoss(config),
  });
  const wiring = (name: string) => {
    const scale = config.number(`${name}_alpha_factor`, 1);
    const residual = tidy({ source: "normed" as const, scale: unless(scale, 1) });
    return tidy({ residual, out_scale: unless(config.number(`${name}_beta_factor`, 1), 1) });
  };
  const layers = config.layers("num_hidden_layers", 32);
  const types = readLayerTypes(config, "layer_types", layers, [LINEAR, FULL], (i) => (i % 2 === 0 ? FULL : LINEAR));
  const { stack, fields } = stackLayers(
    types.map((type) => [type === FULL ? "*" : "L", "E"]),
    {
      L: { ...wiring("linear_attn"), mixer: lightning },
      "*": { ...wiring("full_attn"), mixer: attention },
      E: { ...wiring("mlp"), ffn: moe },
    },
  );
  return {
    file: { ...decoder, ...fields },
    stack,
    table: decoderTable({
      tied: decoder.head.tied,
      blocks: {
        L: [
          ...normRules("input_layernorm"),
          rule("self_attn.qkv_proj.weight", ["mixer.q_proj.weight", "mixer.k_proj.weight", "mixer.v_proj.weight"], {
            groups: n_heads,
          }),
          ...linear("self_attn.output_gate", "mixer.g_proj"),
          ...linear("self_attn.norm", "mixer.o_norm"),
          ...linear("self_attn.out_proj", "mixer.o_proj"),
        ],
        "*": [...normRules("input_layernorm"), ...attentionRules("self_attn.")],
        E: [
          ...normRules("post_attention_layernorm"),
          rule(["block_sparse_moe.gate.weight", "mlp.gate.weight"], "ffn.router.weight"),
          {
            either: [...expertRules("block_sparse_moe.", ["w1", "w3", "w2"]).either, ...expertRules("mlp.").either],
          },
        ],
      },
      ignored: ["slope_rate", "query_decay", "key_decay", "diagonal_decay"].map((name) => ({
        stored: `{prefix}layers.{layer}.self_attn.${name}`,
        reason: "the decays follow from the configuration",
      })),
    }),
  };
}

function configure(spec: ArchitectureSpec): ConfigFields | undefined {
  const [lightning] = operatorsOf(spec, "linear_attention");
  const [attention] = operatorsOf(spec, "attention");
  const [moe] = operatorsOf(spec, "moe");
  const layers = pairs(spec.layers);
  if (moe === undefined || layers === undefined || (lightning ?? attention) === undefined) return undefined;
  const isFull = ({ branches }: ResolvedLayer): boolean => branches[0]?.operator.type === "attention";
  const factors = (name: string, layer: ResolvedLayer | undefined) =>
    layer === undefined
      ? {}
      : { [`${name}_alpha_factor`]: layer.residual.scale, [`${name}_beta_factor`]: layer.out_scale };
  return tidy({
    ...writeDecoder(spec),
    num_hidden_layers: layers.length,
    layer_types: layers.map(([mixer]) => (isFull(mixer) ? FULL : LINEAR)),
    num_attention_heads: attention?.n_heads ?? lightning?.n_heads,
    num_key_value_heads: attention?.n_kv_heads ?? lightning?.n_heads,
    head_dim: attention?.head_dim ?? lightning?.key_head_dim,
    sliding_window: attention?.window ?? null,
    rope_parameters: attention?.rope == null ? undefined : writeRope(attention.rope, attention.head_dim),
    ...factors("linear_attn", layers.find(([mixer]) => !isFull(mixer))?.[0]),
    ...factors("full_attn", layers.find(([mixer]) => isFull(mixer))?.[0]),
    ...factors("mlp", layers[0]?.[1]),
    num_local_experts: moe.n_experts,
    num_experts_per_tok: moe.top_k,
    router_aux_loss_coef: moe.router.balance_loss,
    intermediate_size: moe.d_ff,
    hidden_act: "silu",
    block_size: 256,
    max_position_embeddings: 131_072,
  });
}
