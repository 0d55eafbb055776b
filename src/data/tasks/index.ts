// The table of synthetic tasks. To add one is to add a file and a row.
import { DataError } from "../error.ts";
import { inductionHeads } from "./induction-heads.ts";
import { mqar } from "./mqar.ts";
import { noisyRecall } from "./noisy-recall.ts";
import { parity } from "./parity.ts";
import { selectiveCopying } from "./selective-copying.ts";
import type { Task, TaskDefinition } from "./task.ts";

export { type ParameterRule, type Task, type TaskDefinition, taskBatches } from "./task.ts";

/** All tasks by name. */
export const TASKS: ReadonlyMap<string, TaskDefinition> = new Map(
  [selectiveCopying, inductionHeads, mqar, noisyRecall, parity].map((task) => [task.name, task]),
);

/** A task by name, with parameters. Throws {@link DataError} for an unknown name or a parameter out of bounds. */
export function createTask(name: string, parameters: Readonly<Record<string, unknown>> = {}): Task {
  const definition = TASKS.get(name);
  if (definition === undefined) {
    throw new DataError(`"${name}" is not a task; allowed: ${[...TASKS.keys()].join(", ")}`);
  }
  return definition.create(parameters);
}
