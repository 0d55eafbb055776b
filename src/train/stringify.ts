// A run's configuration as a run file again, every default filled in: what a run folder keeps of how it was made.
import { stringify } from "yaml";
import type { PlainData } from "../spec/located.ts";
import type { RunConfig } from "./config.ts";

/** Where a written run file finds what it names. */
export interface RunReferences {
  readonly architecture: string;
  /** `bytes` or a path; null for tasks. */
  readonly tokenizer: string | null;
  /** A path or glob of the configuration, as the written file must say it. */
  readonly file: (pattern: string) => string;
}

/** YAML text that {@link loadRun} reads as an equal configuration, but for the names in `references`. */
export function stringifyRun(config: RunConfig, references: RunReferences): string {
  const { name, description, batch_size, sequence_length, accumulation, optimizer, schedule } = config;
  const isTask = config.data.type === "task";
  const fields: Record<string, unknown> = {
    name,
    description: description === "" ? undefined : description,
    architecture: references.architecture,
    tokenizer: references.tokenizer ?? undefined,
    data: dataFields(config.data, references.file),
    batch_size,
    sequence_length,
    accumulation,
    ...config.budget,
    optimizer: { ...optimizer, betas: [...optimizer.betas] },
    schedule,
    block_checkpointing: config.block_checkpointing,
    eval: config.eval,
    checkpoint: config.checkpoint,
    sample: isTask ? undefined : config.sample,
    seed: config.seed,
    device: config.device,
    threads: config.threads,
  };
  // A round trip through JSON leaves out what is undefined, at any depth.
  return stringify(JSON.parse(JSON.stringify(fields)) as PlainData, { lineWidth: 120 });
}

function dataFields(data: RunConfig["data"], file: RunReferences["file"]): Record<string, unknown> {
  if (data.type === "task") return { type: "task", task: data.task.name, parameters: data.task.parameters };
  const { type, files, field, order, validation } = data;
  return {
    type,
    files: files.map(file),
    field: type === "jsonl" ? field : undefined,
    order,
    validation: "files" in validation ? { files: validation.files.map(file) } : validation,
  };
}
