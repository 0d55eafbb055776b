// Norm fields, which several parts share, with everything filled in.
import { type Context, complain, withDefaults } from "./context.ts";
import type { HeadNormFields, InnerNormFields, NormFields } from "./types.generated.ts";
import type { NormSpec, OutputNormSpec } from "./types.ts";

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
