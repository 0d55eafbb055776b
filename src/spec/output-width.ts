// Blocks whose parallel branches have one output projection in common: what each operator hands to it.
import { type Context, complain, within } from "./context.ts";
import type { FfnSpec, MixerSpec, ResolvedBranch } from "./types.ts";

type Operator = MixerSpec | FfnSpec;

/** Channels before the output projection of each type of operator; undefined where it does not come last. */
const WIDTHS: { readonly [T in Operator["type"]]: ((operator: Extract<Operator, { type: T }>) => number) | undefined } =
  {
    mamba: (o) => o.d_inner,
    mamba2: (o) => o.d_inner,
    gated_delta: (o) => o.n_heads * o.value_head_dim,
    linear_attention: (o) => o.n_heads * o.value_head_dim,
    attention: (o) => o.n_heads * o.value_head_dim,
    latent_attention: (o) => o.n_heads * o.value_head_dim,
    short_conv: undefined,
    rg_lru: (o) => o.d_inner,
    wkv: (o) => o.d_inner,
    s4d: undefined,
    rnn: (o) => o.d_hidden,
    mlp: undefined,
    linear: undefined,
    moe: undefined,
  };

function widthOf<T extends Operator["type"]>(
  operator: Extract<Operator, { type: T }> & { readonly type: T },
): number | undefined {
  return WIDTHS[operator.type]?.(operator);
}

/** Complains unless all branches can leave their output projection to the block and are equally wide before it. */
export function checkOutputs(context: Context, branches: readonly ResolvedBranch[]): void {
  const [first] = branches;
  for (const [i, { operator }] of branches.entries()) {
    const at = within(context, "parallel", String(i));
    const width = widthOf(operator);
    if (width === undefined) {
      complain(at, "", `${operator.type} has no output projection that it could leave to out_proj of the block`);
      continue;
    }
    if ("output_bias" in operator && operator.output_bias) {
      complain(at, "", "output_bias belongs to an output projection, which out_proj of the block replaces");
    }
    const wanted = first === undefined ? undefined : widthOf(first.operator);
    if (wanted !== undefined && width !== wanted) {
      const message = `${operator.type} is ${width} channels wide before its output projection, ${first?.operator.type} ${wanted}`;
      complain(at, "", message, "branches with one out_proj must be equally wide");
    }
  }
}
