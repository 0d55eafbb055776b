// config.json for transformers.js: it knows families by their names and takes from the configuration which states a model has
// (getCacheNames in its configs.js). A model that came from a family keeps its configuration; any other gets that of a family
// that keeps the same kinds of states, which is all that transformers.js reads of it.

import { buildForward } from "../../blocks/model.ts";
import type { ArchitectureSpec } from "../../spec/types.ts";
import { differences } from "../huggingface/differences.ts";
import { HuggingFaceError } from "../huggingface/error.ts";
import { chooseFamily } from "../huggingface/export.ts";
import type { StackEntry } from "../huggingface/family.ts";
import { convertConfig, textConfig } from "../huggingface/import.ts";
import type { StateNames, StatePort } from "./states.ts";

type Config = Readonly<Record<string, unknown>>;

/** A configuration that stands for an architecture, and the layer of it that each of ours is part of. */
export interface NativeConfig {
  readonly config: Config;
  readonly stack: readonly StackEntry[];
}

/** Families whose layers keep keys and values and nothing else. */
const attentionOnly: ReadonlySet<string> = new Set([
  ...["llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "gpt2", "gemma", "gemma2", "gemma3_text"],
  ...["granite", "olmo2", "olmo3", "smollm3", "phi3", "starcoder2", "cohere"],
]);

/** A kind of state, as names begin. */
type Kind = "key_values" | "conv" | "ssm" | "recurrent";

/** What a hybrid family calls the layers that keep states; `undefined`: it has no field, every layer may keep all of them. */
interface Layout {
  readonly field: "layer_types" | "layers_block_type" | undefined;
  readonly attention: string;
  readonly other: string;
  /** Layers without states; undefined: there are none. */
  readonly none: string | undefined;
  readonly kinds: readonly Kind[];
  readonly architecture: string;
}

const mamba = { attention: "attention", other: "mamba", none: "mlp", kinds: ["key_values", "conv", "ssm"] } as const;
const delta = { attention: "full_attention", other: "linear_attention", none: undefined } as const;
const recurrent = ["key_values", "conv", "recurrent"] as const;
const layouts: Readonly<Record<string, Layout>> = {
  granitemoehybrid: { ...mamba, field: "layer_types", architecture: "GraniteMoeHybridForCausalLM" },
  nemotron_h: { ...mamba, field: "layers_block_type", architecture: "NemotronHForCausalLM" },
  falcon_h1: { ...mamba, field: undefined, architecture: "FalconH1ForCausalLM" },
  qwen3_next: { ...delta, field: "layer_types", kinds: recurrent, architecture: "Qwen3NextForCausalLM" },
  olmo_hybrid: { ...delta, field: "layer_types", kinds: recurrent, architecture: "OlmoHybridForCausalLM" },
  lfm2: {
    ...delta,
    other: "conv",
    field: "layer_types",
    kinds: ["key_values", "conv"],
    architecture: "Lfm2ForCausalLM",
  },
  lfm2_moe: {
    ...{ ...delta, other: "conv", field: "layer_types", kinds: ["key_values", "conv"] },
    architecture: "Lfm2MoeForCausalLM",
  },
};

/** The configuration that the model has or could have in transformers; undefined where no family is like it. */
export function nativeConfig(spec: ArchitectureSpec, original: Config | undefined): NativeConfig | undefined {
  if (original !== undefined) {
    const config = textConfig(original);
    try {
      const { spec: meant, stack } = convertConfig(config, "config.json", { name: spec.name });
      if (differences(spec, meant).length === 0) return { config, stack };
    } catch (error) {
      // A field that import was told to ignore.
      if (!(error instanceof HuggingFaceError)) throw error;
    }
  }
  try {
    const { config, converted } = chooseFamily(spec);
    return config === undefined || converted === undefined ? undefined : { config, stack: converted.stack };
  } catch (error) {
    if (!(error instanceof HuggingFaceError)) throw error;
    return undefined;
  }
}

/**
 * How the states of a model with this configuration are called: by its layers. Where several blocks of one layer keep the same
 * kind of state, by ours.
 */
export function stateNames(spec: ArchitectureSpec, native: NativeConfig | undefined): StateNames {
  if (native === undefined) return {};
  const numbers = native.stack.map(({ layer }) => layer);
  const names = buildForward(spec, { stateful: true }).states.map(({ name }) =>
    name.replace(/^layers\.(\d+)\./, (_, layer) => `${numbers[Number(layer)]}.`),
  );
  const isClear = new Set(names).size === names.length;
  return { numbers: isClear ? numbers : undefined, apart: native.config.model_type === "olmo_hybrid" };
}

export interface TransformersJsConfig {
  readonly config: Config;
  /** Why transformers.js can't run the model; undefined where it can. */
  readonly obstacle: string | undefined;
}

/** config.json of a model with these states. */
export function transformersJsConfig(
  spec: ArchitectureSpec,
  native: NativeConfig | undefined,
  states: readonly StatePort[],
): TransformersJsConfig {
  const kinds = kindsByLayer(states);
  const ids = Object.fromEntries(
    ["bos_token_id", "eos_token_id", "pad_token_id", "max_position_embeddings"].flatMap((name) =>
      native?.config[name] === undefined ? [] : [[name, native.config[name]]],
    ),
  );
  const sizes = { hidden_size: spec.d_model, vocab_size: spec.vocab_size, ...headSizes(states), ...ids };
  if (typeof kinds === "string")
    return { config: native?.config ?? { model_type: "hybraid", ...sizes }, obstacle: kinds };
  const own = String(native?.config.model_type);
  if (native !== undefined && (attentionOnly.has(own) || layouts[own] !== undefined))
    return { config: withLayerTypes(native.config, own, kinds), obstacle: undefined };
  const found = [...kinds.values()].flatMap((set) => [...set]);
  const has = (kind: Kind): boolean => found.includes(kind);
  const layers = Math.max(...kinds.keys()) + 1;
  const stand = (type: string, architecture: string): TransformersJsConfig => {
    const fields = { architectures: [architecture], model_type: type, num_hidden_layers: layers, ...sizes };
    return { config: withLayerTypes(fields, type, kinds), obstacle: undefined };
  };
  if (has("recurrent") && has("ssm"))
    return {
      config: native?.config ?? { model_type: "hybraid", ...sizes },
      obstacle: "transformers.js knows no model with both state-space and gated delta or other recurrent states",
    };
  if (!has("recurrent") && !has("ssm") && !has("conv")) return stand("llama", "LlamaForCausalLM");
  const type = has("recurrent") ? "qwen3_next" : isParallel(kinds) ? "falcon_h1" : "granitemoehybrid";
  if (has("recurrent") && isParallel(kinds))
    return {
      config: native?.config ?? { model_type: "hybraid", ...sizes },
      obstacle: "transformers.js knows no model that keeps recurrent states and keys in the same layer",
    };
  return stand(type, layouts[type]?.architecture ?? "");
}

/** What each layer keeps; a text says what stands in the way. */
function kindsByLayer(states: readonly StatePort[]): ReadonlyMap<number, ReadonlySet<Kind>> | string {
  const kinds = new Map<number, Set<Kind>>();
  for (const { past } of states) {
    const [, kind, layer] =
      /^past_(?:(key_values)\.(\d+)\.(?:key|value))$/.exec(past) ??
      /^past_(conv|ssm|recurrent)\.(\d+)(?:\.(?:key|value|query))?$/.exec(past) ??
      [];
    if (kind === undefined || layer === undefined)
      return `transformers.js has no place for the state "${past}" in any of its caches`;
    const own = kinds.get(Number(layer)) ?? new Set();
    kinds.set(Number(layer), own.add(kind as Kind));
  }
  const attends = [...kinds.values()].some((own) => own.has("key_values"));
  // It counts the tokens so far by the length of a cache of keys.
  return attends
    ? kinds
    : "transformers.js runs no model without attention: it takes the number of tokens from a cache of keys";
}

const isParallel = (kinds: ReadonlyMap<number, ReadonlySet<Kind>>): boolean =>
  [...kinds.values()].some((own) => own.has("key_values") && own.size > 1);

/** The configuration with the names of layers that transformers.js looks for; transformers itself has changed some since. */
function withLayerTypes(config: Config, type: string, kinds: ReadonlyMap<number, ReadonlySet<Kind>>): Config {
  const layout = layouts[type];
  if (layout === undefined) return config;
  const { layer_types: before, layers_block_type: block, ...rest } = config;
  const old = (before ?? block) as readonly unknown[] | undefined;
  const count = Number(config.num_hidden_layers ?? old?.length ?? Math.max(...kinds.keys()) + 1);
  const fields = { ...rest, num_hidden_layers: count };
  if (layout.field === undefined) return fields;
  const names = Array.from({ length: count }, (_, layer) => {
    const own = kinds.get(layer);
    if (own?.has("key_values")) return layout.attention;
    if (own !== undefined || layout.none === undefined) return layout.other;
    const was = old?.[layer];
    return typeof was === "string" && was !== layout.attention && was !== layout.other ? was : layout.none;
  });
  return { ...fields, [layout.field]: names };
}

/** Heads of the keys, for the cache code of the attention-only families. */
function headSizes(states: readonly StatePort[]): Config {
  const keys = states.find(({ past }) => past.endsWith(".key") && past.startsWith("past_key_values"));
  if (keys === undefined) return {};
  const [, heads, , channels] = keys.shape;
  return { num_attention_heads: heads, num_key_value_heads: heads, head_dim: channels };
}
