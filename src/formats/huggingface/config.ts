// A model's config.json, read field by field. Every field must be asked for, or be named as one that does not change what
// the model computes: what nobody knows is an error that names it. All problems are collected and come at once.
import { nearest } from "../../spec/suggest.ts";
import { HuggingFaceError } from "./error.ts";
import { isObject } from "./json.ts";

/** Fields of every family that do not change what the model computes. */
const NEUTRAL_EVERYWHERE: ReadonlySet<string> = new Set([
  ...[
    "_name_or_path",
    "architectures",
    "model_type",
    "transformers_version",
    "auto_map",
    "custom_pipelines",
    "name_or_path",
  ],
  ...["dtype", "torch_dtype", "use_cache", "cache_implementation", "_attn_implementation", "attn_implementation"],
  ...[
    "_attn_implementation_autoset",
    "_experts_implementation",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
  ],
  ...["bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "unk_token_id"],
  ...[
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "finetuning_task",
    "task_specific_params",
    "tokenizer_class",
  ],
  ...["prefix", "chunk_size_feed_forward", "is_decoder", "is_encoder_decoder", "gradient_checkpointing"],
  ...[
    "max_position_embeddings",
    "num_logits_to_keep",
    "output_router_logits",
    "calc_logits_for_entire_prompt",
    "_num_labels",
    "torchscript",
    "use_bfloat16",
  ],
  // Sampling defaults of old versions; generation_config.json holds them now.
  ...["temperature", "top_k", "top_p", "do_sample", "max_length", "min_length", "repetition_penalty", "length_penalty"],
  ...["num_beams", "num_beam_groups", "num_return_sequences", "no_repeat_ngram_size", "early_stopping", "typical_p"],
  ...[
    "bad_words_ids",
    "begin_suppress_tokens",
    "suppress_tokens",
    "diversity_penalty",
    "exponential_decay_length_penalty",
  ],
  ...["encoder_no_repeat_ngram_size", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values"],
  ...["output_scores", "return_dict_in_generate", "tie_encoder_decoder", "cross_attention_hidden_size"],
  ...["add_cross_attention", "pruned_heads", "tf_legacy_loss"],
]);

/** Whether a field of any family does not change what the model computes. */
export function isNeutralField(name: string): boolean {
  return NEUTRAL_EVERYWHERE.has(name);
}

/** Largest width or length that a configuration may name. */
const MAX_COUNT = 2 ** 26;
/** Most layers, as in architecture files. */
const MAX_LAYERS = 10_000;
/** Most experts. */
const MAX_EXPERTS = 65_536;

/** A field's name, or several names that it has had; the first that is there counts. */
export type FieldName = string | readonly string[];

export class ConfigReader {
  /** The file, for messages. */
  readonly where: string;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #known = new Set<string>();
  readonly #problems: string[];
  readonly #prefix: string;

  /**
   * @param problems where to put what is wrong; readers of parts of a config share the list
   * @param prefix of field names in messages: `text_config.`
   */
  constructor(fields: Readonly<Record<string, unknown>>, where: string, problems: string[] = [], prefix = "") {
    this.#fields = fields;
    this.where = where;
    this.#problems = problems;
    this.#prefix = prefix;
  }

  /** The value of a field; undefined where it is absent or null. Marks all its names as known. */
  value(name: FieldName): unknown {
    const names = typeof name === "string" ? [name] : name;
    for (const one of names) this.#known.add(one);
    const found = names.find((one) => this.#has(one));
    return found === undefined ? undefined : this.#fields[found];
  }

  /** Whether a field is there and not null. Does not mark it as known. */
  has(name: string): boolean {
    return this.#has(name);
  }

  /** Whether a field is there and null, which says something else than its absence in a few cases. */
  isNull(name: string): boolean {
    this.#known.add(name);
    return Object.hasOwn(this.#fields, name) && this.#fields[name] === null;
  }

  /** A whole number from `minimum` (default 1) to `maximum`, which keeps a file from being a trap. */
  count(name: FieldName, fallback?: number, { minimum = 1, maximum = MAX_COUNT } = {}): number {
    const allowed = `a whole number from ${minimum} to ${maximum}`;
    const isAllowed = (value: unknown): value is number =>
      Number.isSafeInteger(value) && Number(value) >= minimum && Number(value) <= maximum;
    return this.#checked(name, fallback, minimum, allowed, isAllowed);
  }

  /** Number of layers. */
  layers(name: FieldName, fallback?: number): number {
    return this.count(name, fallback, { maximum: MAX_LAYERS });
  }

  /** Number of experts; 0 stands for none. */
  experts(name: FieldName, fallback?: number): number {
    return this.count(name, fallback, { minimum: 0, maximum: MAX_EXPERTS });
  }

  /** A finite number. */
  number(name: FieldName, fallback?: number): number {
    return this.#checked(name, fallback, 1, "a number", (v): v is number => Number.isFinite(v));
  }

  flag(name: FieldName, fallback?: boolean): boolean {
    return this.#checked(name, fallback, false, "true or false", (v): v is boolean => typeof v === "boolean");
  }

  /** A list of numbers; Infinity is allowed. Of `length`, where that is given. */
  numbers(name: FieldName, fallback?: readonly number[], length?: number): readonly number[] {
    const isAllowed = (value: unknown): value is readonly number[] =>
      Array.isArray(value) &&
      value.every((item) => typeof item === "number" && !Number.isNaN(item)) &&
      (length === undefined || value.length === length);
    const allowed = length === undefined ? "a list of numbers" : `a list of ${length} numbers`;
    return this.#checked(name, fallback, fallback ?? [], allowed, isAllowed);
  }

  /** A list of texts. */
  texts(name: FieldName): readonly string[] | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    this.problem(name, `${show(value)}; allowed: a list of names`);
    return undefined;
  }

  /** A text that stands for one of the values of `choices`. */
  choice<T>(name: FieldName, choices: Readonly<Record<string, T>>, fallback: string): T {
    const value = this.value(name) ?? fallback;
    const keys = Object.keys(choices);
    if (typeof value === "string" && Object.hasOwn(choices, value)) return choices[value] as T;
    this.problem(name, `${show(value)} is not supported; allowed: ${keys.join(", ")}`);
    return choices[fallback] as T;
  }

  /** A part of the config with fields of its own; undefined where it is absent. `finish` it as well. */
  part(name: string): ConfigReader | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (isObject(value)) return this.derived(value, `${name}.`);
    this.problem(name, `${show(value)}; allowed: an object`);
    return undefined;
  }

  /** A reader of other fields whose problems are those of this one. `prefix`: of their names in messages. */
  derived(fields: Readonly<Record<string, unknown>>, prefix: string): ConfigReader {
    return new ConfigReader(fields, this.where, this.#problems, `${this.#prefix}${prefix}`);
  }

  /** A field that must have one of the values `allowed` (null stands for absent); `why` says what others would mean. */
  must(name: FieldName, allowed: readonly unknown[], why: string): void {
    const value = this.value(name) ?? null;
    if (!allowed.includes(value)) {
      this.problem(name, `${show(value)} is not supported (${why}); allowed: ${allowed.map(show).join(", ")}`);
    }
  }

  /** A field that says again what others say; it must agree with them where it is there. */
  agrees(name: FieldName, expected: unknown, how: string): void {
    const value = this.value(name);
    if (value !== undefined && JSON.stringify(value) !== JSON.stringify(expected)) {
      this.problem(name, `${show(value)}, but ${how} is ${show(expected)}`);
    }
  }

  /** Fields that do not change what the model computes. */
  neutral(...names: readonly string[]): void {
    for (const name of names) this.#known.add(name);
  }

  /** Records a problem with a field. */
  problem(name: FieldName, message: string): void {
    const label = typeof name === "string" ? name : (name.find((one) => this.#has(one)) ?? name[0]);
    this.#problems.push(`${this.#prefix}${label}: ${message}`);
  }

  /** Records every field that nobody asked for. `ignored`: those that the user wants to be overlooked. */
  finish(ignored: ReadonlySet<string> = new Set()): void {
    for (const name of Object.keys(this.#fields)) {
      // null says that something is absent, whatever it is.
      if (this.#known.has(name) || NEUTRAL_EVERYWHERE.has(name) || ignored.has(name) || !this.#has(name)) continue;
      const meant = nearest(
        name,
        [...this.#known].filter((known) => !this.#has(known)),
      );
      const hint = meant === undefined ? "" : `; did you mean "${meant}"?`;
      this.problem(name, `not a field that is known for this model, so its meaning would be lost${hint}`);
    }
  }

  /** @throws HuggingFaceError with all problems found so far, where there are any. */
  throwProblems(): void {
    if (this.#problems.length > 0) throw new HuggingFaceError(this.where, this.#problems);
  }

  #has(name: string): boolean {
    return Object.hasOwn(this.#fields, name) && this.#fields[name] !== null;
  }

  #checked<T>(
    name: FieldName,
    fallback: T | undefined,
    standIn: T,
    allowed: string,
    isAllowed: (value: unknown) => value is T,
  ): T {
    const value = this.value(name) ?? fallback;
    if (isAllowed(value)) return value;
    this.problem(name, value === undefined ? `missing; allowed: ${allowed}` : `${show(value)}; allowed: ${allowed}`);
    return fallback ?? standIn;
  }
}

function show(value: unknown): string {
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
