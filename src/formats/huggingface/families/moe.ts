// Mixtures of experts in configurations, and back.
import type { MoeFields } from "../../../spec/types.generated.ts";

import type { ConfigReader } from "../config.ts";
import { tidy, unless } from "../family.ts";

/** An ffn of experts without the fields that have their defaults. */
export function moeFields(fields: MoeFields): MoeFields {
  const { router = {}, shared, latent, ...rest } = fields;
  const { score, normalize, normalize_eps, scale, selection_bias, n_groups, top_groups, ...training } = router;
  const own = tidy({
    score: unless(score, "softmax" as const),
    normalize: unless(normalize, true),
    // What is added to a sum that nothing is divided by means nothing.
    normalize_eps: normalize === false ? undefined : unless(normalize_eps, 0),
    scale: unless(scale, 1),
    selection_bias: unless(selection_bias, false),
    n_groups: unless(n_groups, 1),
    top_groups: top_groups === n_groups ? undefined : top_groups,
    ...training,
  });
  return tidy({
    ...rest,
    latent: latent ?? undefined,
    router: Object.keys(own).length === 0 ? undefined : own,
    shared,
  });
}

/** The coefficient of the load-balancing loss, where the configuration has one. */
export function balanceLoss(config: ConfigReader): { readonly balance_loss?: number } {
  const value = config.value("router_aux_loss_coef");
  return value === undefined ? {} : { balance_loss: config.number("router_aux_loss_coef") };
}

/** DeepSeek-V3's router (2024, section 2.1.2), as configurations of several families say it. */
export function sigmoidRouter(
  config: ConfigReader,
  names: { readonly normalize: string; readonly groups: string; readonly topGroups: string },
): MoeFields["router"] {
  return {
    score: "sigmoid",
    selection_bias: true,
    normalize: config.flag(names.normalize, true),
    normalize_eps: 1e-20,
    n_groups: config.experts(names.groups, 1),
    top_groups: config.experts(names.topGroups, 1),
    scale: config.number("routed_scaling_factor", 1),
  };
}
