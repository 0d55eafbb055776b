// Mamba (Gu & Dao 2023) and Falcon-Mamba, which norms dt, B and C without weights.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type Family, stackLayers, tidy, unless } from "../family.ts";
import { linear } from "../table.ts";
import { dtInit, epsOf, neutralSsmFields, operatorsOf } from "./parts.ts";
import { FINAL_NORM, mambaRules, normRules, tiedHead } from "./rules.ts";

interface Variant {
  readonly type: string;
  readonly architecture: string;
  readonly width: number;
  readonly depth: number;
  readonly vocabulary: number;
  readonly innerNorm: boolean;
}

export const mamba = family({
  type: "mamba",
  architecture: "MambaForCausalLM",
  width: 768,
  depth: 32,
  vocabulary: 50280,
  innerNorm: false,
});

export const falconMamba = family({
  type: "falcon_mamba",
  architecture: "FalconMambaForCausalLM",
  width: 4096,
  depth: 64,
  vocabulary: 65024,
  innerNorm: true,
});

function family(variant: Variant): Family {
  return {
    modelTypes: [variant.type],
    architecture: variant.architecture,
    convert: (config) => convert(config, variant),
    configure: (spec) => configure(spec, variant),
  };
}

function convert(config: ConfigReader, { width, depth, vocabulary, innerNorm }: Variant): Conversion {
  neutralSsmFields(config);
  // Fields of the original implementation that converted checkpoints carry along.
  config.neutral("d_model", "n_layer", "d_inner", "ssm_cfg", "pad_vocab_size_multiple", "fused_add_norm");
  config.must("rms_norm", [null, true], "LayerNorm in place of RMS norm");
  config.must("hidden_act", [null, "silu", "swish"], "another activation of convolution and gate");
  const d_model = config.count("hidden_size", width);
  const expand = config.number("expand", 2);
  config.agrees("intermediate_size", Math.floor(expand * d_model), "expand · hidden_size");
  const rank = config.value("time_step_rank") ?? "auto";
  const tied = config.flag("tie_word_embeddings", true);
  const mixer = tidy({
    type: "mamba" as const,
    d_state: config.count("state_size", 16),
    d_conv: config.count("conv_kernel", 4),
    d_inner: Math.floor(expand * d_model),
    dt_rank: rank === "auto" ? undefined : config.count("time_step_rank"),
    conv_bias: unless(config.flag("use_conv_bias", true), true),
    bias: unless(config.flag("use_bias", false), false),
    inner_norm: innerNorm ? { eps: config.number("mixer_rms_eps", 1e-6), weight: "none" as const } : undefined,
    ...dtInit(config),
  });
  const layers = config.layers("num_hidden_layers", depth);
  const { stack, fields } = stackLayers(new Array<string[]>(layers).fill(["M"]), { M: { mixer } });
  return {
    file: {
      d_model,
      vocab_size: config.count("vocab_size", vocabulary),
      norm: { type: "rms_norm", eps: config.number("layer_norm_epsilon", 1e-5) },
      head: { tied },
      init: { std: config.number("initializer_range", 0.1) },
      ...fields,
    },
    stack,
    table: {
      prefixes: ["backbone.", ""],
      body: [...linear(["embeddings", "embedding"], "embedding"), ...normRules("norm_f", FINAL_NORM)],
      head: linear("lm_head", "head"),
      layer: "layers.{layer}.",
      blocks: { M: [...normRules("norm"), ...mambaRules("mixer.")] },
      ignored: tiedHead(tied),
    },
  };
}

function configure(spec: ArchitectureSpec, { innerNorm }: Variant): ConfigFields | undefined {
  const [first] = operatorsOf(spec, "mamba");
  if (first === undefined) return undefined;
  return tidy({
    hidden_size: spec.d_model,
    intermediate_size: first.d_inner,
    expand: first.d_inner / spec.d_model,
    state_size: first.d_state,
    conv_kernel: first.d_conv,
    time_step_rank: first.dt_rank,
    time_step_min: first.dt_min,
    time_step_max: first.dt_max,
    time_step_floor: first.dt_init_floor,
    use_conv_bias: first.conv_bias,
    use_bias: first.bias,
    mixer_rms_eps: innerNorm ? first.inner_norm?.eps : undefined,
    hidden_act: "silu",
    layer_norm_epsilon: epsOf(spec),
    residual_in_fp32: true,
    initializer_range: spec.init.std,
    num_hidden_layers: spec.layers.length,
    vocab_size: spec.vocab_size,
    tie_word_embeddings: spec.head.tied,
  });
}
