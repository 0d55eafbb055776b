// Rotary positions in configurations: `rope_parameters` of transformers 5, or the older rope_theta, rope_scaling and
// partial_rotary_factor; and the way back. The rules are those of transformers' modeling_rope_utils.
import type { RopeFields } from "../../spec/types.generated.ts";
import type { RopeSpec } from "../../spec/types.ts";
import type { ConfigReader } from "./config.ts";
import { tidy, unless } from "./family.ts";
import { isObject } from "./json.ts";

export interface RopeDefaults {
  readonly theta?: number;
  /** Part of each head that is rotated where the configuration does not say. */
  readonly fraction?: number;
  /** Longest sequence where the configuration does not say. */
  readonly maxLength?: number;
  /** The key of rope_parameters that holds these, where every kind of layer has its own. */
  readonly kind?: string;
  /** Old name of the base of this kind of layer, and whether rope_scaling is for it. */
  readonly old?: { readonly theta: string; readonly scaled: boolean };
}

/** The rotary positions of a configuration. */
export function readRope(config: ConfigReader, defaults: RopeDefaults = {}): RopeFields {
  const { theta = 10000, fraction = 1, maxLength: baseLength = 2048, kind, old } = defaults;
  const given = config.value("rope_parameters");
  const parameters = isObject(given) ? given : {};
  const own =
    kind !== undefined && isObject(parameters[kind])
      ? parameters[kind]
      : kind === undefined || !hasKinds(parameters)
        ? parameters
        : {};
  const scaling = config.value("rope_scaling");
  const merged = tidy({
    rope_theta: config.value(old?.theta ?? "rope_theta"),
    partial_rotary_factor: config.value("partial_rotary_factor"),
    ...withoutNull(isObject(scaling) && old?.scaled !== false ? scaling : {}),
    ...withoutNull(own),
  });
  const rope = config.derived(merged, given === undefined ? "rope_scaling." : "rope_parameters.");
  // Sections of multimodal positions: with one position per token, as in text, they are ordinary rotary positions.
  rope.neutral("mrope_section", "mrope_interleaved");
  const maxLength = config.count("max_position_embeddings", baseLength);
  const original = config.count("original_max_position_embeddings", maxLength);
  const fields = {
    theta: rope.number("rope_theta", theta),
    fraction: unless(rope.number("partial_rotary_factor", fraction), 1),
    scaling: readScaling(ropeType(rope), rope, maxLength, original),
  };
  rope.finish();
  return tidy(fields);
}

/** Whether rope_parameters has an entry for each kind of layer. */
function hasKinds(parameters: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(parameters).some((key) => key.endsWith("_attention"));
}

function withoutNull(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

const TYPES = ["default", "linear", "dynamic", "yarn", "llama3", "longrope", "su", "mrope", "proportional"];

function ropeType(rope: ConfigReader): string {
  const value = rope.value(["rope_type", "type"]) ?? "default";
  if (typeof value === "string" && TYPES.includes(value)) return value;
  rope.problem(["rope_type", "type"], `${JSON.stringify(value)} is not supported; allowed: ${TYPES.join(", ")}`);
  return "default";
}

type Scaling = Exclude<RopeFields, boolean>["scaling"];

function readScaling(type: string, scaling: ConfigReader, maxLength: number, original: number): Scaling {
  const originalLength = (): number => scaling.count("original_max_position_embeddings", original);
  switch (type) {
    case "linear":
      return { type: "linear", factor: scaling.number("factor") };
    case "dynamic":
      // The frequencies are those of plain positions up to the original length; there they change with the length beyond.
      return { type: "dynamic", factor: scaling.number("factor"), original_max_length: originalLength() };
    case "yarn": {
      const length = originalLength();
      const factor = scaling.number("factor", maxLength / length);
      const of = (mscale: number): number => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1);
      const mscale = scaling.number("mscale", 0);
      const all = scaling.number("mscale_all_dim", 0);
      const attention = scaling.number("attention_factor", mscale !== 0 && all !== 0 ? of(mscale) / of(all) : of(1));
      return tidy({
        type: "yarn" as const,
        factor,
        original_max_length: length,
        beta_fast: unless(scaling.number("beta_fast", 32), 32),
        beta_slow: unless(scaling.number("beta_slow", 1), 1),
        attention_factor: attention,
        truncate: unless(scaling.flag("truncate", true), true),
      });
    }
    case "llama3":
      return {
        type: "llama3",
        factor: scaling.number("factor"),
        original_max_length: originalLength(),
        low_freq_factor: scaling.number("low_freq_factor"),
        high_freq_factor: scaling.number("high_freq_factor"),
      };
    case "longrope":
    case "su": {
      const length = originalLength();
      const factor = scaling.number("factor", maxLength / length);
      const attention = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(length));
      return {
        type: "longrope",
        factors: [...scaling.numbers("short_factor")],
        long_factors: [...scaling.numbers("long_factor")],
        original_max_length: length,
        attention_factor: scaling.number("attention_factor", attention),
      };
    }
    case "proportional":
      return tidy({ type: "proportional" as const, factor: unless(scaling.number("factor", 1), 1) });
    default:
      return undefined;
  }
}

/**
 * The fields of a configuration that stand for these rotary positions.
 *
 * @param usual part of each head that the family rotates where the configuration does not say
 */
export function writeRope(rope: RopeSpec, headDim: number, usual = 1): Readonly<Record<string, unknown>> {
  const { theta, rotary_dim, scaling } = rope;
  const fraction = rotary_dim / headDim;
  const common = tidy({ rope_theta: theta, partial_rotary_factor: usual === 1 ? unless(fraction, 1) : fraction });
  if (scaling === null) return { rope_type: "default", ...common };
  switch (scaling.type) {
    case "linear":
      return { rope_type: "linear", factor: scaling.factor, ...common };
    case "ntk":
      // There is no static NTK scaling there; its frequencies are plain ones of a larger base.
      return { rope_type: "default", ...common, rope_theta: theta * scaling.factor ** (rotary_dim / (rotary_dim - 2)) };
    case "dynamic": {
      const { factor, original_max_length: original, length } = scaling;
      // Frequencies for a longer sequence are those of plain positions with a larger base.
      const longer = Math.max(1, (factor * length) / original - (factor - 1)) ** (rotary_dim / (rotary_dim - 2));
      if (longer > 1) return { rope_type: "default", ...common, rope_theta: theta * longer };
      return { rope_type: "dynamic", factor, original_max_position_embeddings: original, ...common };
    }
    case "proportional":
      return {
        rope_type: "proportional",
        factor: scaling.factor,
        ...common,
        partial_rotary_factor: (2 * scaling.pairs) / headDim,
      };
    case "yarn":
      return {
        rope_type: "yarn",
        factor: scaling.factor,
        original_max_position_embeddings: scaling.original_max_length,
        beta_fast: scaling.beta_fast,
        beta_slow: scaling.beta_slow,
        attention_factor: scaling.attention_factor,
        truncate: scaling.truncate,
        ...common,
      };
    case "llama3":
      return {
        rope_type: "llama3",
        factor: scaling.factor,
        original_max_position_embeddings: scaling.original_max_length,
        low_freq_factor: scaling.low_freq_factor,
        high_freq_factor: scaling.high_freq_factor,
        ...common,
      };
    case "longrope":
      return {
        rope_type: "longrope",
        short_factor: scaling.factors,
        long_factor: scaling.long_factors ?? scaling.factors,
        attention_factor: scaling.attention_factor,
        ...(scaling.long_factors === null ? {} : { original_max_position_embeddings: scaling.original_max_length }),
        ...common,
      };
  }
}
