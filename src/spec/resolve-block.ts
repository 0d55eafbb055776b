// One block with everything filled in: its branches, norms, scales and residual rule.
import { type Context, complain, withDefaults, within } from "./context.ts";
import { childOf } from "./located.ts";
import { checkOutputs } from "./output-width.ts";
import { resolveAdapter } from "./resolve-adapter.ts";
import { resolveFfn } from "./resolve-ffn.ts";
import { resolveMixer } from "./resolve-mixer.ts";
import { resolveNorm } from "./resolve-norm.ts";
import { schema } from "./schema.generated.ts";
import type { BlockFields, BranchFields } from "./types.generated.ts";
import type { FfnSpec, MixerSpec, ResolvedBranch, ResolvedLayer } from "./types.ts";

/** A layer without what depends on where it stands. */
export type ResolvedBlock = Omit<ResolvedLayer, "index" | "block" | "weights">;

/** Complains unless a block is exactly one of mixer, ffn and parallel, and each parallel branch one of mixer and ffn. */
export function checkChoices(context: Context): void {
  const { node } = context;
  if (node.kind !== "map") return;
  const kinds = ["mixer", "ffn", "parallel"].filter((kind) => node.entries.has(kind));
  // A field that does not belong here is an error of its own, and usually why there is none of the three.
  const known: readonly string[] = Object.keys(schema.definitions.block.properties);
  const strange = [...node.entries.keys()].some((key) => !known.includes(key));
  if (kinds.length > 1 || (kinds.length === 0 && !strange)) {
    const found = kinds.length === 0 ? "none of them" : listed(kinds);
    const hint = kinds.length > 1 ? "make two blocks of it, or use parallel" : undefined;
    complain(context, kinds[1] ?? "", `a block has exactly one of mixer, ffn and parallel, found ${found}`, hint);
  }
  const parallel = childOf(node, "parallel");
  if (node.entries.has("combine") && parallel === undefined) {
    complain(context, "combine", "combine says how parallel branches are combined; this block has none");
  }
  if (node.entries.has("out_proj") && parallel === undefined) {
    complain(context, "out_proj", "out_proj is common to parallel branches; this block has none");
  }
  if (parallel?.kind !== "list") return;
  for (const [i, branch] of parallel.items.entries()) {
    if (branch.kind !== "map") continue;
    const chosen = ["mixer", "ffn"].filter((kind) => branch.entries.has(kind));
    if (chosen.length === 1) continue;
    const found = chosen.length === 0 ? "neither" : "both";
    complain(within(context, "parallel", String(i)), "", `a branch has exactly one of mixer and ffn, found ${found}`);
  }
}

const listed = (words: readonly string[]): string => `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

/** A block whose fields the schema has accepted. */
export function resolveBlock(context: Context, fields: BlockFields): ResolvedBlock {
  const { in_scale, out_scale, combine, input, output, out_proj } = withDefaults("block", fields);
  checkFlow(context, fields, input, output);
  const branches = resolveBranches(context, fields);
  if (out_proj) checkOutputs(context, branches);
  return {
    input,
    output,
    norm: resolveNorm(within(context, "norm"), fields.norm, context.norm),
    post_norm: resolveNorm(within(context, "post_norm"), fields.post_norm, null),
    in_scale,
    out_scale,
    residual: withDefaults("residual", fields.residual ?? {}),
    combine,
    out_proj,
    branches,
  };
}

/** Complains of a residual that has nowhere to go, or that is not as wide as the stream. */
function checkFlow(
  context: Context,
  { residual, mixer, ffn }: BlockFields,
  input: ResolvedLayer["input"],
  output: ResolvedLayer["output"],
): void {
  if (output === "side" && residual !== undefined) {
    complain(context, "residual", "what goes to the side is added to nothing", "leave residual out");
  }
  if (input !== "stream_and_embedding") return;
  if (residual?.source === "normed") {
    const message = "a residual from the norm of stream_and_embedding is twice as wide as the stream";
    complain(within(context, "residual"), "source", message);
  }
  const narrow = mixer?.type === "s4d" ? mixer.type : ffn?.type === "moe" ? ffn.type : undefined;
  if (narrow !== undefined) {
    complain(context, "input", `${narrow} works on d_model channels, and stream_and_embedding has twice as many`);
  }
}

/** Whether a block mixes positions. */
export function hasMixer(fields: BlockFields | undefined): boolean {
  if (fields?.mixer !== undefined) return true;
  return Array.isArray(fields?.parallel) && fields.parallel.some((branch) => branch?.mixer !== undefined);
}

function resolveBranches(context: Context, fields: BlockFields): ResolvedBranch[] {
  if (fields.parallel !== undefined) {
    if (fields.adapter !== undefined) {
      complain(context, "adapter", "an adapter belongs to one mixer or ffn, and this block has several");
    }
    const parallel = within(context, "parallel");
    return fields.parallel.flatMap((branch, i) => resolveBranch(within(parallel, String(i)), branch, i));
  }
  const operator = resolveOperator(context, fields);
  if (operator === undefined) return [];
  const name = fields.mixer === undefined ? "ffn" : "mixer";
  const adapter =
    fields.adapter === undefined ? null : resolveAdapter(within(context, "adapter"), fields.adapter, operator);
  return [{ name, in_scale: 1, out_scale: 1, post_norm: null, adapter, operator }];
}

function resolveBranch(context: Context, fields: BranchFields, index: number): ResolvedBranch[] {
  const { in_scale, out_scale } = withDefaults("branch", fields);
  const operator = resolveOperator(context, fields);
  if (operator === undefined) return [];
  const post_norm = resolveNorm(within(context, "post_norm"), fields.post_norm, null);
  return [{ name: `parallel.${index}`, in_scale, out_scale, post_norm, adapter: null, operator }];
}

function resolveOperator(context: Context, fields: BranchFields): MixerSpec | FfnSpec | undefined {
  if (fields.mixer !== undefined) return resolveMixer(within(context, "mixer"), fields.mixer);
  return fields.ffn === undefined ? undefined : resolveFfn(within(context, "ffn"), fields.ffn);
}
