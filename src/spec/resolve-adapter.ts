// Low-rank adapters of a block: which projections of its mixer or ffn they are added to.
import { type Context, complain, within } from "./context.ts";
import { suggestion } from "./suggest.ts";
import type { AdapterFields } from "./types.generated.ts";
import type { AdapterSpec, FfnSpec, MixerSpec } from "./types.ts";

type Operator = MixerSpec | FfnSpec;

/** The projections of each type of operator, by the names of their parameters; a type without a row does not compile. */
const PROJECTIONS: {
  readonly [T in Operator["type"]]: (operator: Extract<Operator, { type: T }>) => readonly string[];
} = {
  mamba: (o) => [
    "in_proj_z",
    "in_proj_x",
    ...(o.n_heads === 1 ? ["x_proj_dt", "x_proj_B", "x_proj_C"] : []),
    "out_proj",
  ],
  mamba2: () => ["in_proj_z", "in_proj_x", "in_proj_B", "in_proj_C", "in_proj_dt", "out_proj"],
  gated_delta: (o) => [
    ...["q_proj", "k_proj", "v_proj", "b_proj"],
    ...ranked("a_proj", o.decay_rank),
    ...(o.output_gate === "none" ? [] : ranked("g_proj", o.gate_rank)),
    "o_proj",
  ],
  linear_attention: (o) => ["q_proj", "k_proj", "v_proj", ...(o.output_gate === "none" ? [] : ["g_proj"]), "o_proj"],
  attention: (o) => [
    "q_proj",
    ...(o.share_kv ? [] : ["k_proj", "v_proj"]),
    ...(o.output_gate === "none" ? [] : ["g_proj"]),
    "o_proj",
  ],
  latent_attention: (o) => [
    ...(o.q_rank === null ? ["q_proj"] : ["q_a_proj", "q_b_proj"]),
    ...["kv_a_proj", "k_rope_proj", "o_proj"],
  ],
  short_conv: () => ["in_proj_B", "in_proj_C", "in_proj_x", "out_proj"],
  rg_lru: () => ["x_proj", "g_proj", "out_proj"],
  wkv: () => ["k_proj", "v_proj", "r_proj", "out_proj"],
  s4d: (o) => ["out_proj", ...(o.output === "glu" ? ["out_gate"] : [])],
  rnn: () => ["in_proj", "out_proj"],
  mlp: (o) => [
    "up_proj",
    ...(o.gated ? ["gate_proj"] : []),
    ...(o.output_gate === "none" ? [] : ["g_proj"]),
    "down_proj",
  ],
  // Those that all tokens share.
  moe: (o) => [
    ...(o.latent === null ? [] : ["latent_in", "latent_out"]),
    ...(o.shared === null ? [] : ["shared.up_proj", ...(o.gated ? ["shared.gate_proj"] : []), "shared.down_proj"]),
    ...(o.shared?.gate === "sigmoid" ? ["shared.output_gate"] : []),
  ],
  linear: () => ["proj"],
};

const ranked = (name: string, rank: number | null): string[] =>
  rank === null ? [name] : [`${name}_down`, `${name}_up`];

function projectionsOf<T extends Operator["type"]>(
  operator: Extract<Operator, { type: T }> & { readonly type: T },
): readonly string[] {
  return PROJECTIONS[operator.type](operator);
}

/** An adapter whose fields the schema has accepted. */
export function resolveAdapter(context: Context, fields: AdapterFields, operator: Operator): AdapterSpec {
  const known = projectionsOf(operator);
  if (known.length === 0) {
    complain(context, "", `${operator.type} has no projections that an adapter could be added to`);
    return { rank: fields.rank, groups: [] };
  }
  const seen = new Set<string>();
  const groups = fields.projections.map((entry, i) => {
    const names = typeof entry === "string" ? [entry] : entry;
    const at = within(context, "projections", String(i));
    for (const [j, name] of names.entries()) {
      const field = typeof entry === "string" ? "" : String(j);
      if (!known.includes(name)) {
        const message = `${operator.type} has no projection "${name}" here`;
        complain(at, field, message, suggestion(name, known));
      } else if (seen.has(name)) complain(at, field, `${name} stands here twice`);
      seen.add(name);
    }
    return names;
  });
  return { rank: fields.rank, groups };
}
