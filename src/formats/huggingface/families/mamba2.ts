// Mamba-2 (Dao & Gu 2024), as transformers has it: the gated norm is over the whole inner width, whatever the groups.
import type { Family } from "../family.ts";
import { stackLayers, tidy } from "../family.ts";
import { linear } from "../table.ts";
import { dtInit, epsOf, type Mamba2Names, neutralSsmFields, operatorsOf, readMamba2, readStepLimit } from "./parts.ts";
import { FINAL_NORM, mamba2Rules, normRules, tiedHead } from "./rules.ts";

const NAMES: Mamba2Names = {
  heads: "num_heads",
  headDim: "head_dim",
  groups: "n_groups",
  state: "state_size",
  conv: "conv_kernel",
  convBias: "use_conv_bias",
  bias: "use_bias",
};

export const mamba2: Family = {
  modelTypes: ["mamba2"],
  architecture: "Mamba2ForCausalLM",
  convert(config) {
    neutralSsmFields(config);
    // The rank of Mamba-1's step sizes, which this model does not have.
    config.neutral("time_step_rank");
    config.must("rms_norm", [null, true], "no gated norm");
    // The order of norm and gate in the original implementation; this model always norms after the gate.
    config.neutral("norm_before_gate");
    config.must("hidden_act", [null, "silu", "swish"], "another activation of convolution and gate");
    const d_model = config.count("hidden_size", 4096);
    const expand = config.number("expand", 2);
    const tied = config.flag("tie_word_embeddings", false);
    const mixer = {
      ...readMamba2(config, NAMES, { heads: 128, headDim: 64, groups: 8, state: 128, inner: expand * d_model }),
      ...readStepLimit(config),
      ...dtInit(config),
    };
    const inner = (mixer.n_heads ?? 0) * (mixer.head_dim ?? 0);
    if (inner !== expand * d_model) {
      config.problem("expand", `${expand} · hidden_size ${d_model} is not num_heads · head_dim, ${inner}`);
    }
    const layers = config.layers("num_hidden_layers", 64);
    const { stack, fields } = stackLayers(new Array<string[]>(layers).fill(["M"]), { M: { mixer } });
    return {
      file: {
        d_model,
        vocab_size: config.count("vocab_size", 32768),
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
        blocks: { M: [...normRules("norm"), ...mamba2Rules("mixer.")] },
        ignored: tiedHead(tied),
      },
    };
  },
  configure(spec) {
    const [first] = operatorsOf(spec, "mamba2");
    if (first === undefined) return undefined;
    return tidy({
      hidden_size: spec.d_model,
      expand: first.d_inner / spec.d_model,
      num_heads: first.n_heads,
      head_dim: first.head_dim,
      n_groups: first.n_groups,
      state_size: first.d_state,
      conv_kernel: first.d_conv,
      use_conv_bias: first.conv_bias,
      use_bias: first.bias,
      chunk_size: 256,
      time_step_limit: first.dt_limit,
      time_step_min: first.dt_min,
      time_step_max: first.dt_max,
      time_step_floor: first.dt_init_floor,
      hidden_act: "silu",
      layer_norm_epsilon: epsOf(spec),
      residual_in_fp32: true,
      initializer_range: spec.init.std,
      num_hidden_layers: spec.layers.length,
      vocab_size: spec.vocab_size,
      tie_word_embeddings: spec.head.tied,
    });
  },
};
