// A run that takes a moment: a small hybrid over bytes, on text that is made up, in a folder of its own.
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveFromDisk } from "../../src/spec/node/files.ts";
import type { ArchitectureSpec } from "../../src/spec/types.ts";
import { loadRun, type RunConfig } from "../../src/train/config.ts";
import { readMetrics } from "../../src/train/node/metrics.ts";

export const ARCHITECTURE = `name: tiny
d_model: 16
vocab_size: 256
blocks:
  M: {mixer: {type: mamba, d_state: 4}}
  "*": {mixer: {type: attention, n_heads: 2, window: 8, rope: true}}
  "-": {ffn: {type: mlp, d_ff: 24, gated: true}}
layers: "M-*-"
`;

/** The fields of the run, in the order of the file; a value replaces a field's, undefined leaves it out. */
const FIELDS: Readonly<Record<string, string>> = {
  architecture: "architecture.yaml",
  data: "{type: text, files: text.txt, order: shuffled}",
  batch_size: "2",
  sequence_length: "16",
  steps: "12",
  optimizer: "{lr: 0.01}",
  schedule: "{type: cosine, warmup_steps: 1}",
  eval: "{every: 4, batches: 2}",
  checkpoint: "{every: 4, keep: 2}",
  sample: "{tokens: 8, prompt: a}",
  threads: "1",
};

export function runText(changes: Readonly<Record<string, string | undefined>> = {}): string {
  return Object.entries({ ...FIELDS, ...changes })
    .flatMap(([field, value]) => (value === undefined ? [] : [`${field}: ${value}\n`]))
    .join("");
}

/** A new folder with architecture.yaml, text.txt and run.yaml; returns its path. */
export async function makeRun(changes: Readonly<Record<string, string | undefined>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "hybraid-run-"));
  await writeFile(join(folder, "architecture.yaml"), ARCHITECTURE);
  const lines = Array.from({ length: 200 }, (_, i) => `line ${i}: ${i % 7} times ${i % 5} is ${(i % 7) * (i % 5)}\n`);
  await writeFile(join(folder, "text.txt"), lines.join(""));
  await writeFile(join(folder, "run.yaml"), runText(changes));
  return folder;
}

/** The configuration of {@link makeRun}'s folder. */
export function configOf(folder: string, changes: Readonly<Record<string, string | undefined>> = {}): RunConfig {
  return loadRun(runText(changes), { file: join(folder, "run.yaml"), resolve: resolveFromDisk });
}

export function tinySpec(folder: string): ArchitectureSpec {
  return configOf(folder).architecture;
}

/** Losses of a run folder by step, training and evaluation. */
export async function lossesOf(folder: string): Promise<string[]> {
  const records = await readMetrics(join(folder, "metrics.jsonl"));
  return records.map(({ kind, step, loss }) => `${kind} ${step} ${loss}`);
}
