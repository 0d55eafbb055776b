// Mamba (Gu & Dao 2023) and Falcon-Mamba, which norms dt, B and C without weights.
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type ConfigFields, type Conversion, type FamilyVariant, tidy, variants } from "../family.ts";
import { mambaStack, writeMambaStack } from "./mamba-stack.ts";
import { operatorsOf } from "./parts.ts";
import { mambaRules } from "./rules.ts";
import {
  dtInit,
  type MambaNames,
  neutralSsmFields,
  readMamba,
  requireSilu,
  writeDtInit,
  writeMamba,
} from "./state-space.ts";

interface Variant extends FamilyVariant {
  readonly width: number;
  readonly depth: number;
  readonly vocabulary: number;
  readonly innerNorm: boolean;
}

const family = variants<Variant>(convert, configure);

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

const NAMES: MambaNames = {
  state: "state_size",
  conv: "conv_kernel",
  rank: "time_step_rank",
  convBias: "use_conv_bias",
  bias: "use_bias",
};

function convert(config: ConfigReader, { width, depth, vocabulary, innerNorm }: Variant): Conversion {
  neutralSsmFields(config);
  // Fields of the original implementation that converted checkpoints carry along.
  config.neutral("d_model", "n_layer", "d_inner", "ssm_cfg", "pad_vocab_size_multiple", "fused_add_norm");
  config.must("rms_norm", [null, true], "LayerNorm in place of RMS norm");
  requireSilu(config);
  const d_model = config.count("hidden_size", width);
  const expand = config.number("expand", 2);
  config.agrees("intermediate_size", Math.floor(expand * d_model), "expand · hidden_size");
  const tied = config.flag("tie_word_embeddings", true);
  const mixer = tidy({
    ...readMamba(config, NAMES, Math.floor(expand * d_model)),
    inner_norm: innerNorm ? { eps: config.number("mixer_rms_eps", 1e-6), weight: "none" as const } : undefined,
    ...dtInit(config),
  });
  return mambaStack(config, { d_model, tied, mixer, rules: mambaRules("mixer."), depth, vocabulary });
}

function configure(spec: ArchitectureSpec, { innerNorm }: Variant): ConfigFields | undefined {
  const [first] = operatorsOf(spec, "mamba");
  if (first === undefined) return undefined;
  return tidy({
    ...writeMambaStack(spec, first.d_inner),
    intermediate_size: first.d_inner,
    ...writeMamba(first, NAMES),
    ...writeDtInit(first),
    mixer_rms_eps: innerNorm ? first.inner_norm?.eps : undefined,
  });
}
