// What a synthetic task is: parameters declared as data, a generator of exact batches, and the accuracy by which
// models are compared.
import { type Batch, type BatchSource, IGNORED_TARGET, restoreRandom, wrongPosition } from "../batches.ts";
import { DataError } from "../error.ts";
import type { Random } from "../random.ts";

/** A parameter of a task: its default, its bounds and its meaning. */
export interface ParameterRule {
  default: number | boolean | string;
  /** Integers where the default is one and this is not false. */
  integer?: boolean;
  minimum?: number;
  maximum?: number;
  /** For strings: the allowed values. */
  choices?: readonly string[];
  description: string;
}

/** Values of a table of parameter rules. */
export type ParameterValues<Rules> = {
  [Name in keyof Rules]: Rules[Name] extends { choices: readonly (infer Choice)[] }
    ? Choice
    : Rules[Name] extends { default: number }
      ? number
      : Rules[Name] extends { default: boolean }
        ? boolean
        : string;
};

/** A task with its parameters settled. */
export interface Task {
  readonly name: string;
  /** Token ids are under this. */
  readonly vocabSize: number;
  /** Shortest sequence that holds the task. */
  readonly minimumLength: number;
  readonly parameters: Readonly<Record<string, number | boolean | string>>;
  /** Exact, fresh examples. Throws {@link DataError} for a `length` under the minimum. */
  generate(random: Random, batch: number, length: number): Batch;
}

/** A kind of task. */
export interface TaskDefinition {
  readonly name: string;
  readonly description: string;
  /** Where the definition comes from. */
  readonly source: string;
  readonly parameters: Readonly<Record<string, ParameterRule>>;
  /** A task with these parameters, the rest at their defaults. Throws {@link DataError}. */
  create(parameters?: Readonly<Record<string, unknown>>): Task;
}

/** One row of a batch, to be filled: targets begin as {@link IGNORED_TARGET} everywhere. */
export interface Row {
  tokens: Int32Array;
  targets: Int32Array;
}

/** What a task's own file says about it. */
export interface TaskRules<Rules extends Readonly<Record<string, ParameterRule>>> {
  name: string;
  description: string;
  source: string;
  parameters: Rules;
  vocabSize(values: ParameterValues<Rules>): number;
  /** Shortest sequence; or a reason why the parameters do not go together. */
  minimumLength(values: ParameterValues<Rules>): number | string;
  /** Fills one example. */
  fill(row: Row, random: Random, values: ParameterValues<Rules>): void;
}

/** Makes a definition from a task's rules: validation, batching and messages are the same for all. */
export function defineTask<const Rules extends Readonly<Record<string, ParameterRule>>>(
  rules: TaskRules<Rules>,
): TaskDefinition {
  const { name, description, source, parameters } = rules;
  return {
    name,
    description,
    source,
    parameters,
    create: (given = {}) => {
      const settled = settle(name, parameters, given);
      const values = settled as ParameterValues<Rules>;
      const minimumLength = rules.minimumLength(values);
      if (typeof minimumLength === "string") throw new DataError(`task ${name}: ${minimumLength}`);
      return {
        name,
        vocabSize: rules.vocabSize(values),
        minimumLength,
        parameters: settled,
        generate: (random, batch, length) => {
          if (!Number.isSafeInteger(length) || length < minimumLength) {
            throw new DataError(`task ${name}: a sequence of ${length} is too short; at least ${minimumLength}`);
          }
          const tokens = new Int32Array(batch * length);
          const targets = new Int32Array(batch * length).fill(IGNORED_TARGET);
          for (let start = 0; start < tokens.length; start += length) {
            const row = {
              tokens: tokens.subarray(start, start + length),
              targets: targets.subarray(start, start + length),
            };
            rules.fill(row, random, values);
          }
          return { tokens, targets };
        },
      };
    },
  };
}

function settle(
  task: string,
  rules: Readonly<Record<string, ParameterRule>>,
  given: Readonly<Record<string, unknown>>,
): Record<string, number | boolean | string> {
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(rules, name)) {
      throw new DataError(`task ${task}: "${name}" is no parameter; allowed: ${Object.keys(rules).join(", ")}`);
    }
  }
  return Object.fromEntries(
    Object.entries(rules).map(([name, rule]) => {
      const value = given[name] ?? rule.default;
      const problem = problemWith(value, rule);
      if (problem !== undefined) {
        throw new DataError(`task ${task}: ${name} is ${JSON.stringify(value)}; allowed: ${problem}`);
      }
      return [name, value as number | boolean | string];
    }),
  );
}

/** What is allowed, when `value` is not. */
function problemWith(value: unknown, rule: ParameterRule): string | undefined {
  if (typeof rule.default === "boolean") return typeof value === "boolean" ? undefined : "true or false";
  if (typeof rule.default === "string") {
    const choices = rule.choices ?? [];
    return choices.includes(String(value)) ? undefined : choices.join(", ");
  }
  const { minimum = 0, maximum = 2 ** 31 - 1, integer = true } = rule;
  const valid = typeof value === "number" && (integer ? Number.isInteger(value) : Number.isFinite(value));
  if (valid && value >= minimum && value <= maximum) return undefined;
  const range = rule.maximum === undefined ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
  return `${integer ? "an integer" : "a number"} ${range}`;
}

/** An endless source of fresh examples of a task; its position is the state of its random stream. */
export function taskBatches(task: Task, options: { batch: number; length: number; random: Random }): BatchSource {
  const { batch, length } = options;
  let { random } = options;
  // Fail now rather than at the first step.
  task.generate(random.split("probe"), 1, length);
  return {
    batch,
    length,
    next: () => task.generate(random, batch, length),
    position: () => ({ order: "task", random: random.state() }),
    restore: (position) => {
      if (position?.order !== "task") throw wrongPosition("task", position);
      random = restoreRandom(position.random);
    },
  };
}
