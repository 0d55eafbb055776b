// Rotary positions of a mixer, with everything filled in.
import { type Context, complain, withDefaults, within } from "./context.ts";
import type { RopeScalingSpec, RopeSpec } from "./rope.ts";
import type { RopeDynamicFields, RopeFields, RopeLongropeFields, RopeScalingFields } from "./types.generated.ts";

/** Rotary positions of heads with `headDim` channels. */
export function resolveRope(context: Context, fields: RopeFields, headDim: number): RopeSpec | null {
  if (fields === false) return null;
  const { theta, fraction, scaling } = withDefaults("rope", fields === true ? {} : fields);
  const at = within(context, "scaling");
  if (scaling?.type === "proportional") {
    if (headDim % 2 !== 0)
      complain(context, "", `head_dim ${headDim} is odd; rope turns channels in pairs`, "make it even");
    const { type, factor } = withDefaults("rope_proportional", scaling);
    return {
      theta,
      rotary_dim: headDim,
      scaling: { type, factor, pairs: Math.floor((fraction * headDim) / 2 + 1e-9) },
    };
  }
  const rotary_dim = Math.floor(fraction * headDim + 1e-9);
  if (headDim > 0 && (rotary_dim < 2 || rotary_dim % 2 !== 0)) {
    const message =
      fraction === 1
        ? `head_dim ${headDim} is odd; rope turns channels in pairs`
        : `fraction ${fraction} of head_dim ${headDim} is ${rotary_dim} channels; rope turns channels in pairs`;
    complain(context, fraction === 1 ? "" : "fraction", message, "make it even");
  }
  return { theta, rotary_dim, scaling: resolveScaling(at, scaling, rotary_dim) };
}

function resolveScaling(
  context: Context,
  fields: Exclude<RopeScalingFields, { type: "proportional" }> | undefined,
  rotaryDim: number,
): RopeScalingSpec | null {
  switch (fields?.type) {
    case undefined:
      return null;
    case "linear":
    case "ntk":
      if (fields.type === "ntk" && rotaryDim === 2) {
        complain(context, "type", "ntk scaling needs more than 2 rotated channels");
      }
      return { type: fields.type, factor: fields.factor };
    case "dynamic":
      return resolveDynamic(context, fields, rotaryDim);
    case "yarn": {
      const { type, factor, original_max_length, beta_fast, beta_slow, attention_factor, truncate } = withDefaults(
        "rope_yarn",
        fields,
      );
      if (beta_slow >= beta_fast) {
        complain(context, "beta_slow", `beta_slow ${beta_slow} is not less than beta_fast ${beta_fast}`);
      }
      return {
        type,
        factor,
        original_max_length,
        beta_fast,
        beta_slow,
        attention_factor: attention_factor ?? 0.1 * Math.log(factor) + 1,
        truncate,
      };
    }
    case "llama3": {
      const { type, factor, original_max_length, low_freq_factor, high_freq_factor } = withDefaults(
        "rope_llama3",
        fields,
      );
      if (low_freq_factor >= high_freq_factor) {
        const message = `low_freq_factor ${low_freq_factor} is not less than high_freq_factor ${high_freq_factor}`;
        complain(context, "low_freq_factor", message);
      }
      return { type, factor, original_max_length, low_freq_factor, high_freq_factor };
    }
    case "longrope":
      return resolveLongrope(context, fields, rotaryDim);
  }
}

function resolveDynamic(context: Context, fields: RopeDynamicFields, rotaryDim: number): RopeScalingSpec {
  const { type, factor, original_max_length, length } = withDefaults("rope_dynamic", fields);
  if (rotaryDim === 2) complain(context, "type", "dynamic scaling needs more than 2 rotated channels");
  return { type, factor, original_max_length, length: length ?? original_max_length };
}

function resolveLongrope(context: Context, fields: RopeLongropeFields, rotaryDim: number): RopeScalingSpec {
  const { type, factors, long_factors, original_max_length, length, attention_factor } = withDefaults(
    "rope_longrope",
    fields,
  );
  for (const [name, list] of Object.entries({ factors, long_factors })) {
    if (list === undefined || rotaryDim === 0 || list.length === rotaryDim / 2) continue;
    const message = `${name} holds ${list.length} numbers; rope with ${rotaryDim} rotated channels takes ${rotaryDim / 2}`;
    complain(context, name, message);
  }
  if ((long_factors === undefined) !== (original_max_length === undefined)) {
    const [given, missing] =
      long_factors === undefined ? ["original_max_length", "long_factors"] : ["long_factors", "original_max_length"];
    complain(context, given, `${given} needs ${missing}: it says from where on the other list of factors is used`);
  }
  if (length !== undefined && long_factors === undefined) {
    complain(context, "length", "length chooses between factors and long_factors; there are no long_factors");
  }
  // Without long factors there is no length from which they are used.
  const limit = original_max_length ?? 0;
  return {
    type,
    factors,
    long_factors: long_factors ?? null,
    original_max_length: limit,
    length: length ?? limit,
    attention_factor,
  };
}
