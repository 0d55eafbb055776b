// Finds a plan's tensors in a checkpoint: every parameter must be filled, every tensor used or known to be superfluous.
import { isFloat } from "../safetensors/dtype.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { Piece } from "./copy.ts";
import { HuggingFaceError, shorten } from "./error.ts";
import type { StoredTensor, WeightPlan } from "./plan.ts";
import { type IgnoredTensor, namePattern } from "./table.ts";

/** Tensors of any family that follow from the configuration. */
const IGNORED_EVERYWHERE: readonly IgnoredTensor[] = [
  { stored: "*rotary_emb.inv_freq", reason: "the angles of rotary positions follow from the configuration" },
];

/** A tensor that was left out. */
export interface Ignored {
  readonly tensor: string;
  readonly reason: string;
}

/** Where each parameter comes from. */
export interface Binding {
  /** The pieces of each parameter, in the order of its rows. */
  readonly pieces: ReadonlyMap<string, readonly Piece[]>;
  readonly ignored: readonly Ignored[];
}

/** How many of a plan's tensors a checkpoint has, for choosing between plans. */
export function countPresent(plan: WeightPlan, checkpoint: Checkpoint): number {
  return plan.entries.filter((sets) => sets.some((tensors) => tensors.every((tensor) => present(tensor, checkpoint))))
    .length;
}

/** @throws HuggingFaceError that lists missing, unknown and misshapen tensors */
export function bindWeights(plan: WeightPlan, checkpoint: Checkpoint, ignorable: readonly IgnoredTensor[]): Binding {
  const problems: string[] = [];
  const missing: string[] = [];
  const used = new Set<string>();
  const pieces = new Map<string, Piece[]>();
  for (const sets of plan.entries) {
    for (const tensor of choose(sets, checkpoint)) {
      const name = present(tensor, checkpoint);
      if (name === undefined) {
        missing.push(tensor.names[0] ?? "");
        continue;
      }
      used.add(name);
      const problem = check(name, tensor, checkpoint);
      if (problem !== undefined) problems.push(problem);
      for (const part of tensor.parts) {
        const list = pieces.get(part.parameter) ?? [];
        list.push({ name, tensor, part });
        pieces.set(part.parameter, list);
      }
    }
  }
  const ignored: Ignored[] = [];
  const unknown: string[] = [];
  const rules = [...ignorable, ...IGNORED_EVERYWHERE].map(({ stored, reason }) => ({
    pattern: namePattern(stored),
    reason,
  }));
  for (const tensor of checkpoint.names) {
    if (used.has(tensor)) continue;
    const rule = rules.find(({ pattern }) => pattern.test(tensor));
    if (rule === undefined) unknown.push(tensor);
    else ignored.push({ tensor, reason: rule.reason });
  }
  if (missing.length > 0)
    problems.unshift(`${count(missing, "tensor is", "tensors are")} missing: ${shorten(missing)}`);
  if (unknown.length > 0) {
    problems.push(`${count(unknown, "tensor has", "tensors have")} no place in this architecture: ${shorten(unknown)}`);
  }
  if (problems.length > 0) throw new HuggingFaceError(checkpoint.name, problems.slice(0, 40));
  for (const list of pieces.values()) list.sort((a, b) => a.part.first - b.part.first);
  return { pieces, ignored };
}

/** The set of which the checkpoint has the largest share, in the right shapes if possible; the first of equals. */
function choose(sets: readonly (readonly StoredTensor[])[], checkpoint: Checkpoint): readonly StoredTensor[] {
  const share = (tensors: readonly StoredTensor[]): number =>
    tensors.reduce((sum, tensor) => sum + likeness(tensor, checkpoint), 0) / Math.max(1, tensors.length);
  return sets.reduce((best, one) => (share(one) > share(best) ? one : best), sets[0] ?? []);
}

function likeness(tensor: StoredTensor, checkpoint: Checkpoint): number {
  const name = present(tensor, checkpoint);
  if (name === undefined) return 0;
  return checkpoint.info(name)?.shape.join() === tensor.shape.join() ? 1 : 0.5;
}

function present(tensor: StoredTensor, checkpoint: Checkpoint): string | undefined {
  return tensor.names.find((name) => checkpoint.info(name) !== undefined);
}

function check(name: string, { shape }: StoredTensor, checkpoint: Checkpoint): string | undefined {
  const info = checkpoint.info(name);
  if (info === undefined) return undefined;
  if (!isFloat(info.dtype)) return `tensor "${name}" has dtype ${info.dtype}; allowed: F64, F32, F16, BF16`;
  if (info.shape.join() === shape.join()) return undefined;
  return `tensor "${name}" is [${info.shape.join(", ")}], the configuration makes it [${shape.join(", ")}]`;
}

function count(list: readonly string[], one: string, many: string): string {
  return `${list.length} ${list.length === 1 ? one : many}`;
}
