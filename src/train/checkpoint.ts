// Checkpoints: everything that a run needs to go on as if it had never stopped, in one safetensors file. Tensors are
// stored as `group.name` (weights, the optimizer's moments); the rest is one JSON value in the file's metadata.
import type { BatchPosition } from "../data/batches.ts";
import type { RandomState } from "../data/random.ts";
import type { Dtype, Safetensors, TensorArray, TensorToWrite } from "../formats/safetensors/index.ts";

/** A named tensor of a checkpoint. */
export interface CheckpointTensor {
  dtype: Dtype;
  shape: readonly number[];
  /** Elements as stored. */
  data: TensorArray;
}

/** Tensors of one kind by name, such as the weights or the first moments. */
export type TensorGroup = ReadonlyMap<string, CheckpointTensor>;

/** The part of a checkpoint that is not tensors. */
export interface CheckpointState {
  /** Steps done. */
  step: number;
  /** Hash of the architecture; a checkpoint is refused by a model with another. */
  specHash: string;
  /** Random streams by name. */
  random: Readonly<Record<string, RandomState>>;
  /** Where the training data stand. */
  data: BatchPosition;
  /** The run's configuration and anything else it wants back, as JSON. */
  run: unknown;
}

/** A whole checkpoint. Group names hold no dot. */
export interface Checkpoint extends CheckpointState {
  groups: Readonly<Record<string, TensorGroup>>;
}

/** A checkpoint that cannot be read, or that belongs to something else. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
}

const METADATA_KEY = "hybraid_checkpoint";
const VERSION = 1;

/** The tensors and metadata to write for a checkpoint. */
export function encodeCheckpoint(checkpoint: Checkpoint): {
  tensors: TensorToWrite[];
  metadata: Record<string, string>;
} {
  const { groups, ...state } = checkpoint;
  const tensors: TensorToWrite[] = [];
  for (const [group, members] of Object.entries(groups)) {
    if (group === "" || group.includes(".")) throw new CheckpointError(`"${group}" cannot name a group of tensors`);
    for (const [name, tensor] of members) tensors.push({ ...tensor, name: `${group}.${name}` });
  }
  const names = Object.keys(groups);
  return { tensors, metadata: { [METADATA_KEY]: JSON.stringify({ version: VERSION, groups: names, ...state }) } };
}

/** Reads a checkpoint. Throws {@link CheckpointError} where the file is something else, SafetensorsError where it is damaged. */
export async function decodeCheckpoint(file: Safetensors): Promise<Checkpoint> {
  const { groups: names, ...state } = decodeState(file);
  const groups: Record<string, Map<string, CheckpointTensor>> = {};
  for (const name of names) groups[name] = new Map();
  for (const { name, dtype, shape } of file.tensors.values()) {
    const dot = name.indexOf(".");
    const owner = name.slice(0, Math.max(0, dot));
    const group = Object.hasOwn(groups, owner) ? groups[owner] : undefined;
    if (group === undefined) {
      throw new CheckpointError(`${file.name}: tensor "${name}" belongs to none of the groups ${names.join(", ")}`);
    }
    group.set(name.slice(dot + 1), { dtype, shape, data: await file.read(name) });
  }
  return { ...state, groups };
}

function decodeState(file: Safetensors): CheckpointState & { groups: string[] } {
  const json = file.metadata[METADATA_KEY];
  if (json === undefined)
    throw new CheckpointError(`${file.name}: not a checkpoint: its metadata have no ${METADATA_KEY}`);
  let found: unknown;
  try {
    found = JSON.parse(json);
  } catch (cause) {
    throw new CheckpointError(`${file.name}: the checkpoint's metadata are damaged`, { cause });
  }
  const state = found as CheckpointState & { version: number; groups: string[] };
  if (state?.version !== VERSION) {
    throw new CheckpointError(`${file.name}: checkpoint version ${state?.version}; this program reads ${VERSION}`);
  }
  const valid =
    Number.isSafeInteger(state.step) &&
    state.step >= 0 &&
    typeof state.specHash === "string" &&
    typeof state.random === "object" &&
    state.random !== null &&
    typeof state.data === "object" &&
    state.data !== null &&
    Array.isArray(state.groups) &&
    state.groups.every((group) => typeof group === "string");
  if (!valid) throw new CheckpointError(`${file.name}: the checkpoint's metadata are damaged`);
  const { step, specHash, random, data, run, groups } = state;
  return { step, specHash, random, data, run, groups };
}

/** Throws {@link CheckpointError} when the checkpoint belongs to another architecture. */
export function requireSameSpec(checkpoint: CheckpointState, specHash: string, name = "the checkpoint"): void {
  if (checkpoint.specHash !== specHash) {
    throw new CheckpointError(
      `${name} belongs to another architecture: its hash is ${checkpoint.specHash}, this one's ${specHash}`,
    );
  }
}

/**
 * Throws {@link CheckpointError} unless `group` holds exactly the tensors `expected`, with their shapes and types,
 * naming all that are missing, not expected, or of another kind.
 */
export function requireTensors(
  group: TensorGroup,
  expected: ReadonlyMap<string, { dtype: Dtype; shape: readonly number[] }>,
  name = "the checkpoint",
): void {
  const problems: string[] = [];
  for (const [tensor, { dtype, shape }] of expected) {
    const found = group.get(tensor);
    if (found === undefined) problems.push(`"${tensor}" is missing`);
    else if (found.dtype !== dtype || found.shape.join() !== shape.join()) {
      problems.push(`"${tensor}" is ${found.dtype} [${found.shape}], expected ${dtype} [${shape}]`);
    }
  }
  for (const tensor of group.keys()) if (!expected.has(tensor)) problems.push(`"${tensor}" is not expected`);
  if (problems.length === 0) return;
  const shown = problems.slice(0, 10).join("; ");
  throw new CheckpointError(`${name}: ${shown}${problems.length > 10 ? `; and ${problems.length - 10} more` : ""}`);
}
