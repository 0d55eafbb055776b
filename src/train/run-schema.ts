// The JSON Schema of run files (configs/*.yaml): what is trained on what, how long, and with which settings. It is a
// constant so that its defaults have types; docs and editors read it as JSON.

import { devices } from "../runtime/index.ts";

const files = {
  description: "A path, folder or glob, or a list of them, relative to this file.",
  type: ["string", "array"],
  items: { type: "string", minLength: 1 },
  minItems: 1,
} as const;

const textFields = {
  files,
  validation: {
    description: "What is held out of training for evaluation.",
    $ref: "#/definitions/validation",
  },
  order: {
    description:
      "random: windows anywhere. shuffled: every token once an epoch, in a random order of windows. sequential: windows in order.",
    type: "string",
    enum: ["random", "shuffled", "sequential"],
    default: "random",
  },
} as const;

const count = (description: string, value: number) =>
  ({ description, type: "integer", minimum: 1, maximum: 1_000_000_000, default: value }) as const;

/** The schema of run files. */
export const runSchema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "RunFile",
  description: "A Hybraid run: an architecture, data, and how the one is trained on the other.",
  type: "object",
  additionalProperties: false,
  properties: {
    name: { description: "Name of the run and of its folder. Default: the file's name.", type: "string", minLength: 1 },
    description: { description: "What the run is for, for the reader.", type: "string" },
    architecture: {
      description:
        "An architecture file, relative to this file, or an architecture itself (which may use `extends`). Required.",
      type: ["string", "object"],
      minLength: 1,
    },
    tokenizer: {
      description: "bytes, or a tokenizer.json (or a folder that holds one), relative to this file. Not for tasks.",
      type: "string",
      minLength: 1,
      default: "bytes",
    },
    data: { description: "What is trained on. Required.", $ref: "#/definitions/data" },
    batch_size: count("Sequences in each batch.", 8),
    sequence_length: count("Tokens in each sequence.", 256),
    accumulation: count("Batches whose gradients are averaged for one step.", 1),
    steps: {
      description: "Optimizer steps. Either this or `minutes`.",
      type: "integer",
      minimum: 1,
      maximum: 1_000_000_000,
    },
    minutes: {
      description:
        "Minutes of training; the number of steps follows from the speed of the first ones. Either this or `steps`.",
      type: "number",
      exclusiveMinimum: 0,
      maximum: 1_000_000,
    },
    optimizer: { $ref: "#/definitions/optimizer" },
    schedule: { $ref: "#/definitions/schedule" },
    block_checkpointing: {
      description:
        "Recompute each block in the backward pass instead of keeping its activations: less memory, more time.",
      type: "boolean",
      default: false,
    },
    eval: { $ref: "#/definitions/eval" },
    checkpoint: { $ref: "#/definitions/checkpoint" },
    sample: { $ref: "#/definitions/sample" },
    seed: {
      description: "Seeds weights, data order and sampling.",
      type: "integer",
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      default: 0,
    },
    device: {
      description: "Which runtime trains. auto: the fastest there is.",
      type: "string",
      enum: [...devices],
      default: "auto",
    },
    threads: { description: "Threads of the CPU. Default: all cores.", type: "integer", minimum: 1, maximum: 256 },
  },
  definitions: {
    data: {
      title: "DataSourceFields",
      description: "Where tokens come from.",
      type: "object",
      required: ["type"],
      discriminator: { propertyName: "type" },
      oneOf: [{ $ref: "#/definitions/text" }, { $ref: "#/definitions/jsonl" }, { $ref: "#/definitions/task" }],
    },
    text: {
      title: "TextFields",
      description: "Text files, one document each.",
      type: "object",
      additionalProperties: false,
      required: ["type", "files"],
      properties: { type: { const: "text" }, ...textFields },
    },
    jsonl: {
      title: "JsonlFields",
      description: "JSON Lines, one document a line.",
      type: "object",
      additionalProperties: false,
      required: ["type", "files"],
      properties: {
        type: { const: "jsonl" },
        ...textFields,
        field: { description: "The field that holds the text.", type: "string", minLength: 1, default: "text" },
      },
    },
    task: {
      title: "TaskFields",
      description: "A synthetic task with an exact generator; see docs for their parameters.",
      type: "object",
      additionalProperties: false,
      required: ["type", "task"],
      properties: {
        type: { const: "task" },
        task: { description: "Name of the task.", type: "string", minLength: 1 },
        parameters: { description: "The task's own parameters; those left out have their defaults.", type: "object" },
      },
    },
    validation: {
      title: "ValidationFields",
      description: "Held-out data: a share of the data, or files of their own.",
      type: "object",
      additionalProperties: false,
      properties: {
        fraction: {
          description: "Share of the tokens that is held out.",
          type: "number",
          exclusiveMinimum: 0,
          exclusiveMaximum: 1,
          default: 0.05,
        },
        by: {
          description:
            "Hold out whole documents, or stretches of text. Default: documents where there are at least 20.",
          type: "string",
          enum: ["documents", "chunks"],
        },
        seed: {
          description: "Chooses what is held out, independent of the run's seed.",
          type: "integer",
          minimum: 0,
          maximum: Number.MAX_SAFE_INTEGER,
          default: 0,
        },
        files,
      },
    },
    optimizer: {
      title: "OptimizerFields",
      description: "AdamW (Loshchilov and Hutter 2019). Norms, biases, A_log, D and dt_bias do not decay.",
      type: "object",
      additionalProperties: false,
      properties: {
        lr: { description: "Peak learning rate.", type: "number", exclusiveMinimum: 0, maximum: 10, default: 1e-3 },
        betas: {
          description: "Decay rates of the two moments.",
          type: "array",
          items: { type: "number", minimum: 0, maximum: 0.9999999 },
          minItems: 2,
          maxItems: 2,
          default: [0.9, 0.95],
        },
        eps: {
          description: "Added to the root of the second moment.",
          type: "number",
          exclusiveMinimum: 0,
          maximum: 1,
          default: 1e-8,
        },
        weight_decay: { description: "Decoupled weight decay.", type: "number", minimum: 0, maximum: 10, default: 0.1 },
        grad_clip: {
          description: "Longest gradient, over all parameters; a longer one is scaled down. 0: no limit.",
          type: "number",
          minimum: 0,
          maximum: 1e9,
          default: 1,
        },
      },
    },
    schedule: {
      title: "ScheduleFields",
      description: "The learning rate over the run: a linear warm-up, then its type.",
      type: "object",
      additionalProperties: false,
      properties: {
        type: {
          description: "wsd: stable, then a linear decay over the last part.",
          type: "string",
          enum: ["constant", "cosine", "linear", "wsd"],
          default: "cosine",
        },
        warmup_steps: {
          description: "Steps of warm-up.",
          type: "integer",
          minimum: 0,
          maximum: 1_000_000_000,
          default: 0,
        },
        final_ratio: {
          description: "Share of the peak at the end.",
          type: "number",
          minimum: 0,
          maximum: 1,
          default: 0,
        },
        decay_share: {
          description: "wsd: share of the run that decays.",
          type: "number",
          minimum: 0,
          maximum: 1,
          default: 0.2,
        },
      },
    },
    eval: {
      title: "EvalFields",
      description: "Evaluation on held-out data.",
      type: "object",
      additionalProperties: false,
      properties: {
        every: count("Steps between evaluations; the last step is always evaluated.", 200),
        batches: count("Most batches of one evaluation.", 16),
      },
    },
    checkpoint: {
      title: "CheckpointFields",
      description: "Checkpoints to go on from.",
      type: "object",
      additionalProperties: false,
      properties: {
        every: count("Steps between checkpoints; the last step always leaves one.", 500),
        keep: count("How many of the newest are kept.", 2),
      },
    },
    sample: {
      title: "SampleFields",
      description: "What is generated when training ends. Not for tasks.",
      type: "object",
      additionalProperties: false,
      properties: {
        prompt: {
          description: "Where the text starts. Default: a newline.",
          type: "string",
          minLength: 1,
          default: "\n",
        },
        tokens: {
          description: "Tokens to generate; 0: none.",
          type: "integer",
          minimum: 0,
          maximum: 1_000_000,
          default: 200,
        },
        temperature: {
          description: "0: always the likeliest token.",
          type: "number",
          minimum: 0,
          maximum: 100,
          default: 0.8,
        },
        top_k: {
          description: "Choose among so many tokens only. Default: all.",
          type: "integer",
          minimum: 1,
          maximum: 16_777_216,
        },
        top_p: {
          description: "Choose among the likeliest that make up this share. Default: all.",
          type: "number",
          exclusiveMinimum: 0,
          maximum: 1,
        },
      },
    },
  },
} as const;
