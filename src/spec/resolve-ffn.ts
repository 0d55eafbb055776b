// Each ffn with its defaults, and the checks that no schema can state.
import { type Context, checkDivides, complain, withDefaults, within } from "./context.ts";
import type { FfnFields, MlpFields, MoeFields, RouterFields } from "./types.generated.ts";
import type { FfnSpec, MlpSpec, MoeSpec, RouterSpec } from "./types.ts";

/** An ffn whose fields the schema has accepted. */
export function resolveFfn(context: Context, fields: FfnFields): FfnSpec {
  if (fields.type === "linear") return withDefaults("linear", fields);
  return fields.type === "mlp" ? resolveMlp(context, fields) : resolveMoe(context, fields);
}

function resolveMlp(context: Context, fields: MlpFields): MlpSpec {
  const spec = withDefaults("mlp", fields);
  if (!spec.gated && spec.gate_scale !== 1) {
    complain(context, "gate_scale", "gate_scale multiplies the gate, and this mlp is not gated");
  }
  return spec;
}

/** How strongly training asks for balance where the file says nothing and no bias does it (Fedus et al. 2021). */
const BALANCE_LOSS = 0.01;

function resolveMoe(context: Context, fields: MoeFields): MoeSpec {
  const { n_experts, top_k, d_ff, activation, gated, latent, shared } = withDefaults("moe", fields);
  const router = resolveRouter(within(context, "router"), fields.router ?? {}, n_experts);
  const open = (n_experts / router.n_groups) * router.top_groups;
  if (top_k > open) {
    const groups = router.top_groups < router.n_groups;
    const where = groups ? `the ${open} experts of ${router.top_groups} groups` : `${n_experts} experts`;
    complain(context, "top_k", `top_k ${top_k} experts can't be chosen from ${where}`);
  }
  return {
    ...{ type: "moe", n_experts, top_k, d_ff, activation, gated, latent: latent ?? null, router },
    shared: shared === undefined ? null : withDefaults("shared_expert", shared),
  };
}

function resolveRouter(context: Context, fields: RouterFields, n_experts: number): RouterSpec {
  const { balance_loss, top_groups, ...given } = withDefaults("router", fields);
  const { n_groups, selection_bias } = given;
  const divides = checkDivides(context, "n_groups", n_groups, "n_experts", n_experts);
  if (top_groups !== undefined && top_groups > n_groups) {
    complain(context, "top_groups", `top_groups ${top_groups} is more than n_groups ${n_groups}`);
  }
  if (fields.bias_rate !== undefined && !selection_bias) {
    complain(
      context,
      "bias_rate",
      "bias_rate moves the selection bias; this router has none",
      "add selection_bias: true",
    );
  }
  if (fields.normalize_eps !== undefined && !given.normalize) {
    complain(context, "normalize_eps", "normalize_eps belongs to the sum that normalize: true divides by");
  }
  return {
    ...given,
    n_groups: divides ? n_groups : 1,
    top_groups: divides ? Math.min(top_groups ?? n_groups, n_groups) : 1,
    balance_loss: balance_loss ?? (selection_bias ? 0 : BALANCE_LOSS),
  };
}
