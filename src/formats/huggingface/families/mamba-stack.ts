// What Mamba and Mamba-2 models have in common: a stack of one mixer without MLPs, under the original names.
import type { BlockFields } from "../../../spec/types.generated.ts";
import type { ArchitectureSpec } from "../../../spec/types.ts";
import type { ConfigReader } from "../config.ts";
import { type Conversion, stackLayers } from "../family.ts";
import type { Rule } from "../table.ts";
import { writeDecoder } from "./parts.ts";
import { decoderTable, normRules } from "./rules.ts";

export interface MambaStack {
  readonly d_model: number;
  readonly tied: boolean;
  readonly mixer: NonNullable<BlockFields["mixer"]>;
  readonly rules: readonly Rule[];
  /** Layers and tokens where the configuration says neither. */
  readonly depth: number;
  readonly vocabulary: number;
}

/** The model whose layers are all `mixer`. */
export function mambaStack(
  config: ConfigReader,
  { d_model, tied, mixer, rules, depth, vocabulary }: MambaStack,
): Conversion {
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
    table: decoderTable({
      tied,
      prefixes: ["backbone.", ""],
      embedding: ["embeddings", "embedding"],
      finalNorm: "norm_f",
      blocks: { M: [...normRules("norm"), ...rules] },
    }),
  };
}

/** The fields of a configuration beside those of the mixer, whose inner width is `d_inner`. */
export function writeMambaStack(spec: ArchitectureSpec, d_inner: number) {
  return {
    ...writeDecoder(spec, "layer_norm_epsilon"),
    expand: d_inner / spec.d_model,
    num_hidden_layers: spec.layers.length,
    hidden_act: "silu",
    residual_in_fp32: true,
  };
}
