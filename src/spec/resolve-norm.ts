// Norm and rope fields, which several parts share, with everything filled in.
import { type Context, complain, withDefaults, within } from "./context.ts";
import type { HeadNormFields, InnerNormFields, NormFields, RopeFields, RopeScalingFields } from "./types.generated.ts";
import type { NormSpec, OutputNormSpec, RopeScalingSpec, RopeSpec } from "./types.ts";

/** The norm of a model that says nothing about norms. */
export const DEFAULT_NORM: NormSpec = normFrom({});

function normFrom(fields: Exclude<NormFields, boolean>): NormSpec {
  const { type, eps, weight, bias } = withDefaults("norm", fields);
  return { type, eps, weight, bias: bias ?? type === "layer_norm" };
}

/** A norm of the residual stream; fields left out come from the model's norm, unless the type differs. */
export function resolveNorm(
  context: Context,
  fields: NormFields | undefined,
  otherwise: NormSpec | null,
): NormSpec | null {
  if (fields === undefined) return otherwise;
  if (fields === false) return null;
  const model = context.norm ?? DEFAULT_NORM;
  if (fields === true) return model;
  const sameType = fields.type === undefined || fields.type === model.type;
  const norm = normFrom(sameType ? { ...model, ...fields } : fields);
  if (norm.bias && norm.type === "rms_norm") {
    complain(context, "bias", "an rms_norm has no bias", "use layer_norm, or leave bias out");
  }
  return norm;
}

/** An RMS norm inside a mixer; its eps, where left out, is that of the model's norm. */
export function resolveInnerNorm(context: Context, fields: InnerNormFields): NormSpec | null {
  if (fields === false) return null;
  const { eps, weight } = withDefaults("inner_norm", fields === true ? {} : fields);
  return { type: "rms_norm", eps: eps ?? innerEps(context), weight, bias: false };
}

/** An RMS norm of a tensor with heads. */
export function resolveHeadNorm(context: Context, fields: HeadNormFields): OutputNormSpec | null {
  if (fields === false) return null;
  const { eps, weight, over } = withDefaults("head_norm", fields === true ? {} : fields);
  return { type: "rms_norm", eps: eps ?? innerEps(context), weight, bias: false, over };
}

/** The eps of norms inside mixers where they give none of their own. */
export function innerEps(context: Context): number {
  return (context.norm ?? DEFAULT_NORM).eps;
}

/** Rotary positions of heads with `headDim` channels. */
export function resolveRope(context: Context, fields: RopeFields, headDim: number): RopeSpec | null {
  if (fields === false) return null;
  const { theta, fraction, scaling } = withDefaults("rope", fields === true ? {} : fields);
  const rotary_dim = Math.floor(fraction * headDim + 1e-9);
  if (headDim > 0 && (rotary_dim < 2 || rotary_dim % 2 !== 0)) {
    const message =
      fraction === 1
        ? `head_dim ${headDim} is odd; rope turns channels in pairs`
        : `fraction ${fraction} of head_dim ${headDim} is ${rotary_dim} channels; rope turns channels in pairs`;
    complain(context, fraction === 1 ? "" : "fraction", message, "make it even");
  }
  return { theta, rotary_dim, scaling: resolveScaling(within(context, "scaling"), scaling, rotary_dim) };
}

function resolveScaling(
  context: Context,
  fields: RopeScalingFields | undefined,
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
    case "yarn": {
      const { type, factor, original_max_length, beta_fast, beta_slow, attention_factor } = withDefaults(
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
    case "longrope": {
      const { type, factors, attention_factor } = withDefaults("rope_longrope", fields);
      if (rotaryDim > 0 && factors.length !== rotaryDim / 2) {
        const message = `factors holds ${factors.length} numbers; rope with ${rotaryDim} rotated channels takes ${rotaryDim / 2}`;
        complain(context, "factors", message);
      }
      return { type, factors, attention_factor };
    }
  }
}
