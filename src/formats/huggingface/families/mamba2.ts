// Mamba-2 (Dao & Gu 2024), as transformers has it: the gated norm is over the whole inner width, whatever the groups.
import { type Family, tidy } from "../family.ts";
import { mambaStack, writeMambaStack } from "./mamba-stack.ts";
import { operatorsOf } from "./parts.ts";
import { mamba2Rules } from "./rules.ts";
import {
  dtInit,
  type Mamba2Names,
  neutralSsmFields,
  readMamba2,
  readStepLimit,
  requireSilu,
  writeMamba2,
} from "./state-space.ts";

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
    requireSilu(config);
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
    return mambaStack(config, {
      d_model,
      tied,
      mixer,
      rules: mamba2Rules("mixer."),
      depth: 64,
      vocabulary: 32768,
    });
  },
  configure(spec) {
    const [first] = operatorsOf(spec, "mamba2");
    if (first === undefined) return undefined;
    return tidy({
      ...writeMambaStack(spec, first.d_inner),
      ...writeMamba2(first, NAMES),
      chunk_size: 256,
      time_step_limit: first.dt_limit,
    });
  },
};
