// Run files (configs/*.yaml) to a RunConfig: read with places, checked against the schema and against each other, every
// default filled in. Errors look like those of architecture files, all at once.

import { DataError } from "../data/error.ts";
import { createTask, TASKS, type Task } from "../data/tasks/index.ts";
import type { Device } from "../runtime/index.ts";
import { type Diagnostic, diagnosticAt, diagnosticOfFile, SpecError, sortDiagnostics } from "../spec/diagnostic.ts";
import { extendNode, type Resolver } from "../spec/extends.ts";
import { checkSpec } from "../spec/load.ts";
import { childOf, formatPath, type LocatedNode, nodeAt, type PlainData, spanAt, toData } from "../spec/located.ts";
import { readYaml } from "../spec/read.ts";
import { resolveArchitecture } from "../spec/resolve.ts";
import { suggestion } from "../spec/suggest.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { isMisspelt, makeValidator } from "../spec/validate.ts";
import { runSchema } from "./run-schema.ts";
import type { Schedule } from "./schedule.ts";

/** Text to train on. Paths are as in the file: relative to it. */
export interface TextData {
  readonly type: "text" | "jsonl";
  readonly files: readonly string[];
  /** JSONL only: the field that holds the text. */
  readonly field: string;
  readonly order: "random" | "shuffled" | "sequential";
  /** A share of the data, or files of their own. */
  readonly validation:
    | { readonly fraction: number; readonly by: "documents" | "chunks" | undefined; readonly seed: number }
    | { readonly files: readonly string[] };
}

/** A synthetic task to train on; evaluated on fresh examples. */
export interface TaskData {
  readonly type: "task";
  readonly task: Task;
}

/** A whole run, every default filled in; field names are those of the file. */
export interface RunConfig {
  readonly name: string;
  readonly description: string;
  readonly architecture: ArchitectureSpec;
  /** `bytes`, or the path of a tokenizer.json or its folder, relative to the file; null for tasks. */
  readonly tokenizer: string | null;
  readonly data: TextData | TaskData;
  readonly batch_size: number;
  readonly sequence_length: number;
  readonly accumulation: number;
  /** When training ends. */
  readonly budget: { readonly steps: number } | { readonly minutes: number };
  readonly optimizer: {
    readonly lr: number;
    readonly betas: readonly [number, number];
    readonly eps: number;
    readonly weight_decay: number;
    /** Longest gradient; 0: no limit. */
    readonly grad_clip: number;
  };
  readonly schedule: Required<Schedule>;
  readonly block_checkpointing: boolean;
  readonly eval: { readonly every: number; readonly batches: number };
  readonly checkpoint: { readonly every: number; readonly keep: number };
  readonly sample: {
    readonly prompt: string;
    readonly tokens: number;
    readonly temperature: number;
    readonly top_k?: number;
    readonly top_p?: number;
  };
  readonly seed: number;
  readonly device: Device;
  /** undefined: all cores. */
  readonly threads: number | undefined;
}

/** What checking a run file gives. */
export interface RunCheck {
  /** undefined where there is an error. */
  readonly config: RunConfig | undefined;
  /** Errors and warnings in reading order, those of the architecture among them. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Where a run file's text comes from, and how it finds other files. */
export interface RunOptions {
  /** Name of the text in messages. */
  readonly file?: string;
  /** Finds architecture files; without it only architectures written in the run file can be used. */
  readonly resolve?: Resolver;
}

const validate = makeValidator(runSchema);

/** Reads and checks a run file. Never throws: all that is wrong comes in `diagnostics`. */
export function checkRun(text: string, options: RunOptions = {}): RunCheck {
  const file = options.file ?? "run";
  if (text.trim() === "") {
    const hint = "a run needs architecture, data, and steps or minutes";
    return { config: undefined, diagnostics: [diagnosticOfFile(file, { message: "is empty", hint })] };
  }
  const { root, diagnostics } = readYaml(file, text);
  if (root === undefined) return { config: undefined, diagnostics: sortDiagnostics(diagnostics) };
  return new RunChecker(root, file, options.resolve).check();
}

/** The run that `text` describes. Throws SpecError with every error. */
export function loadRun(text: string, options: RunOptions = {}): RunConfig {
  const { config, diagnostics } = checkRun(text, options);
  if (config === undefined) throw new SpecError(diagnostics);
  return config;
}

type Properties = Readonly<Record<string, object>>;

class RunChecker {
  readonly #root: LocatedNode;
  readonly #file: string;
  readonly #resolve: Resolver | undefined;
  readonly #diagnostics: Diagnostic[] = [];
  /** Fields with errors of their own, into which no other check looks. */
  readonly #broken = new Set<string>();

  constructor(root: LocatedNode, file: string, resolve: Resolver | undefined) {
    this.#root = root;
    this.#file = file;
    this.#resolve = resolve;
  }

  check(): RunCheck {
    for (const { path, diagnostic } of validate(this.#root)) {
      this.#diagnostics.push(diagnostic);
      this.#broken.add(path[0] ?? "");
    }
    const config = this.#config();
    const failed = this.#diagnostics.some(({ severity }) => severity === "error");
    return { config: failed ? undefined : config, diagnostics: sortDiagnostics(this.#diagnostics) };
  }

  #config(): RunConfig | undefined {
    if (this.#root.kind !== "map" || this.#broken.has("")) return undefined;
    for (const field of ["architecture", "data"]) this.#require(field);
    const fields = this.#withDefaults([], runSchema.properties) as unknown as RunConfig & { name?: string };
    const budget = this.#budget();
    const architecture = this.#architecture();
    const data = this.#sound("data") ? this.#data() : undefined;
    const section = <T>(name: "optimizer" | "schedule" | "eval" | "checkpoint" | "sample"): T =>
      this.#withDefaults([name], runSchema.definitions[name].properties) as T;
    const schedule = section<RunConfig["schedule"]>("schedule");
    this.#checkSchedule(schedule, budget);
    this.#checkValidation();
    const tokenizer = data?.type === "task" ? null : String(fields.tokenizer);
    if (architecture !== undefined) this.#checkFit(architecture, data, fields, tokenizer);
    if (architecture === undefined || data === undefined || budget === undefined) return undefined;
    return {
      name: fields.name ?? nameOf(this.#file),
      description: fields.description ?? "",
      architecture,
      tokenizer,
      data,
      batch_size: fields.batch_size,
      sequence_length: fields.sequence_length,
      accumulation: fields.accumulation,
      budget,
      optimizer: section<RunConfig["optimizer"]>("optimizer"),
      schedule,
      block_checkpointing: fields.block_checkpointing,
      eval: section<RunConfig["eval"]>("eval"),
      checkpoint: section<RunConfig["checkpoint"]>("checkpoint"),
      sample: section<RunConfig["sample"]>("sample"),
      seed: fields.seed,
      device: fields.device,
      threads: fields.threads,
    };
  }

  #sound(field: string): boolean {
    return !this.#broken.has(field) && childOf(this.#root, field) !== undefined;
  }

  #complain(path: readonly string[], message: string, hint?: string): void {
    this.#broken.add(path[0] ?? "");
    this.#diagnostics.push(diagnosticAt(spanAt(this.#root, path), { path: formatPath(path), message, hint }));
  }

  /** Reports a field that is missing, unless it is there misspelt, which is an error of its own. */
  #require(field: string): void {
    if (childOf(this.#root, field) !== undefined || this.#broken.has(field)) return;
    if (isMisspelt(field, this.#root, Object.keys(runSchema.properties))) return;
    const start = this.#root.span.start;
    this.#diagnostics.push(diagnosticAt({ ...this.#root.span, end: start + 1 }, { message: `${field} is missing` }));
  }

  #withDefaults(path: readonly string[], properties: Properties): Record<string, PlainData> {
    const node = path.length === 0 ? this.#root : childOf(this.#root, path[0] ?? "");
    const given = node === undefined || this.#broken.has(path[0] ?? "") ? {} : toData(node);
    const defaults = Object.entries(properties).flatMap(([name, rule]) =>
      "default" in rule ? [[name, rule.default] as const] : [],
    );
    return { ...(Object.fromEntries(defaults) as Record<string, PlainData>), ...(given as Record<string, PlainData>) };
  }

  #budget(): RunConfig["budget"] | undefined {
    const steps = childOf(this.#root, "steps");
    const minutes = childOf(this.#root, "minutes");
    if (steps !== undefined && minutes !== undefined) {
      this.#complain(["minutes"], "steps and minutes are both given; a run has one of them");
      return undefined;
    }
    if (steps === undefined && minutes === undefined) {
      this.#require("steps");
      return undefined;
    }
    if (this.#broken.has("steps") || this.#broken.has("minutes")) return undefined;
    return steps !== undefined ? { steps: Number(toData(steps)) } : { minutes: Number(minutes && toData(minutes)) };
  }

  #architecture(): ArchitectureSpec | undefined {
    const node = childOf(this.#root, "architecture");
    if (node === undefined || !this.#sound("architecture")) return undefined;
    if (node.kind === "map") {
      const extended = extendNode(this.#file, node, this.#resolve);
      this.#adopt(extended.diagnostics);
      if (extended.root === undefined) return undefined;
      const { spec, diagnostics } = resolveArchitecture(extended.root, this.#file);
      this.#adopt(diagnostics);
      return spec;
    }
    const reference = String(toData(node));
    if (this.#resolve === undefined) {
      this.#complain(["architecture"], "other files cannot be read from here", "write the architecture in this file");
      return undefined;
    }
    let found: { file: string; text: string };
    try {
      found = this.#resolve(reference, this.#file);
    } catch (error) {
      this.#complain(["architecture"], `cannot read "${reference}": ${error instanceof Error ? error.message : error}`);
      return undefined;
    }
    const { spec, diagnostics } = checkSpec(found.text, { file: found.file, resolve: this.#resolve });
    this.#diagnostics.push(...diagnostics);
    return spec;
  }

  /** Takes over what was said about an architecture inside this file, with paths from the file's root. */
  #adopt(diagnostics: readonly Diagnostic[]): void {
    for (const diagnostic of diagnostics) {
      const inside = diagnostic.file === this.#file;
      const separator = diagnostic.path === "" || diagnostic.path.startsWith("[") ? "" : ".";
      const path = inside ? `architecture${separator}${diagnostic.path}` : diagnostic.path;
      this.#diagnostics.push({ ...diagnostic, path });
    }
  }

  #data(): RunConfig["data"] | undefined {
    const node = childOf(this.#root, "data");
    const fields = (node === undefined ? {} : toData(node)) as Record<string, PlainData>;
    if (fields.type === "task") return this.#task(String(fields.task), fields.parameters ?? {});
    const type = fields.type === "jsonl" ? "jsonl" : "text";
    const validation = { fraction: 0.05, seed: 0, by: undefined, ...((fields.validation ?? {}) as object) };
    return {
      type,
      files: [fields.files ?? []].flat() as string[],
      field: String(fields.field ?? "text"),
      order: (fields.order ?? "random") as TextData["order"],
      validation: "files" in validation ? { files: [validation.files].flat() as string[] } : validation,
    };
  }

  #task(name: string, parameters: PlainData): TaskData | undefined {
    if (!TASKS.has(name)) {
      this.#complain(["data", "task"], `"${name}" is not a task`, suggestion(name, [...TASKS.keys()]));
      return undefined;
    }
    try {
      return { type: "task", task: createTask(name, parameters as Record<string, PlainData>) };
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      const given = Object.keys(parameters as object).find((parameter) => error.message.includes(parameter));
      const path = given === undefined ? ["data", "task"] : ["data", "parameters", given];
      this.#complain(path, error.message);
      return undefined;
    }
  }

  #checkSchedule(schedule: RunConfig["schedule"], budget: RunConfig["budget"] | undefined): void {
    if (budget === undefined || !("steps" in budget) || schedule.warmup_steps <= budget.steps) return;
    const message = `the warm-up of ${schedule.warmup_steps} steps is longer than the run of ${budget.steps}`;
    this.#complain(["schedule", "warmup_steps"], message);
  }

  #checkValidation(): void {
    const validation = nodeAt(this.#root, ["data", "validation"]);
    if (!this.#sound("data") || validation.kind !== "map" || !validation.entries.has("files")) return;
    for (const field of ["fraction", "by", "seed"]) {
      if (validation.entries.has(field)) {
        const message = `${field} divides the data, but validation has files of its own`;
        this.#complain(["data", "validation", field], message);
      }
    }
  }

  /** Whether architecture, data and lengths go together. What only the files can tell is checked when they are read. */
  #checkFit(
    architecture: ArchitectureSpec,
    data: RunConfig["data"] | undefined,
    { sequence_length: length }: RunConfig,
    tokenizer: string | null,
  ): void {
    const longest = architecture.positions?.max_length;
    const place = childOf(this.#root, "sequence_length") === undefined ? "architecture" : "sequence_length";
    if (this.#broken.has("sequence_length")) return;
    if (longest !== undefined && length > longest) {
      this.#complain([place], `sequences of ${length} are longer than the model's ${longest} learned positions`);
    }
    if (data?.type === "task") {
      const { task } = data;
      if (task.vocabSize > architecture.vocab_size) {
        const message = `the task has ${task.vocabSize} tokens, but ${architecture.name} a vocab_size of ${architecture.vocab_size}`;
        this.#complain(["data", "task"], message);
      }
      if (length < task.minimumLength) {
        this.#complain(
          [place],
          `sequences of ${length} are too short for ${task.name}; at least ${task.minimumLength}`,
        );
      }
      for (const field of ["tokenizer", "sample"]) {
        if (childOf(this.#root, field) !== undefined)
          this.#complain([field], `${field} is for text; the data are a task`);
      }
    } else if (data !== undefined && tokenizer === "bytes" && architecture.vocab_size < 256) {
      const message = `bytes take a vocab_size of 256, but ${architecture.name} has ${architecture.vocab_size}`;
      this.#complain([childOf(this.#root, "tokenizer") === undefined ? "architecture" : "tokenizer"], message);
    }
  }
}

/** `configs/quickstart.yaml` is called quickstart. */
function nameOf(file: string): string {
  const base = file.split(/[\\/]/).at(-1) ?? "";
  return base.replace(/\.(ya?ml|json)$/i, "") || "run";
}
