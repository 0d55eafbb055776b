// Zamba (Glorioso et al. 2024) and Zamba2: a Mamba backbone, and transformer blocks whose weights serve at every hybrid
// layer. They read the stream beside the embeddings; a projection of their result is added to what the layer's Mamba reads.
import type { BlockFields } from "../../../spec/types.generated.ts";
import type { ConfigReader } from "../config.ts";
import { type Conversion, type StackEntry, stackLayers } from "../family.ts";
import type { Rule } from "../table.ts";
import { linear } from "../table.ts";
import { type readDecoder, readLayerTypes } from "./parts.ts";
import { decoderTable, normRules } from "./rules.ts";

export const MAMBA = "linear_attention";
export const HYBRID = "hybrid";

/** What tells the two apart. */
export interface ZambaParts {
  readonly decoder: ReturnType<typeof readDecoder>;
  readonly types: readonly string[];
  /** Number of shared blocks, which take turns. */
  readonly shared: number;
  readonly mixer: BlockFields["mixer"];
  readonly attention: BlockFields;
  readonly mlp: BlockFields;
  /** Names of the shared block's tensors begin with this. */
  readonly sharedName: string;
  readonly mixerRules: readonly Rule[];
  readonly attentionRules: readonly Rule[];
  readonly mlpRules: readonly Rule[];
}

/** The kinds of layers of a Zamba. */
export function readHybridTypes(config: ConfigReader, layers: number, fallback: (layer: number) => string) {
  // Not tying would also undo the sharing there, which has no meaning of its own.
  config.must("tie_word_embeddings", [null, true], "shared blocks are only shared in tied models");
  return readLayerTypes(config, ["layers_block_type", "layer_types"], layers, [MAMBA, HYBRID], fallback);
}

/** Architecture, stack and table of a Zamba. */
export function assemble(parts: ZambaParts): Conversion {
  const { decoder, types, shared, mixer, sharedName } = parts;
  const suffix = (block: number): string => (shared === 1 ? "" : String(block + 1));
  let uses = 0;
  const firstUse = new Map<number, number>();
  const stack: StackEntry[] = [];
  for (const [layer, type] of types.entries()) {
    if (type !== HYBRID) {
      stack.push({ block: "M", layer });
      continue;
    }
    const block = uses % shared;
    // The shared tensors are stored with the first layer that uses them.
    const owner = firstUse.get(block) ?? layer;
    firstUse.set(block, owner);
    stack.push(
      { block: `A${suffix(block)}`, layer: owner, use: uses },
      { block: `F${suffix(block)}`, layer: owner, use: uses },
    );
    stack.push({ block: "P", layer }, { block: "H", layer });
    uses++;
  }
  const turns = Array.from({ length: shared }, (_, i) => suffix(i));
  const { fields } = stackLayers([stack.map(({ block }) => block)], {
    M: { mixer },
    ...Object.fromEntries(
      turns.flatMap((turn) => [
        [`A${turn}`, parts.attention],
        [`F${turn}`, parts.mlp],
      ]),
    ),
    P: { input: "side", output: "side", norm: false, ffn: { type: "linear" } },
    H: { input: "stream_plus_side", mixer },
  });
  return {
    file: { ...decoder, ...fields },
    stack,
    table: decoderTable({
      tied: decoder.head.tied,
      finalNorm: "final_layernorm",
      blocks: {
        M: [...normRules("input_layernorm"), ...under("mamba.", parts.mixerRules)],
        ...Object.fromEntries(
          turns.flatMap((turn) => [
            [
              `A${turn}`,
              [...normRules(`${sharedName}.input_layernorm`), ...under(`${sharedName}.`, parts.attentionRules)],
            ],
            [`F${turn}`, [...normRules(`${sharedName}.pre_ff_layernorm`), ...under(`${sharedName}.`, parts.mlpRules)]],
          ]),
        ),
        P: linear("linear", "ffn.proj"),
        H: [...normRules("mamba_decoder.input_layernorm"), ...under("mamba_decoder.mamba.", parts.mixerRules)],
      },
    }),
  };
}

/** Rules with `at` before the stored names. */
function under(at: string, rules: readonly Rule[]): Rule[] {
  return rules.map((one) => ({ ...one, stored: one.stored.map((name) => `${at}${name}`) }));
}

/** Blocks that read the stream beside the embeddings and hand on what they compute without adding it to the stream. */
export function sharedBlocks(attention: NonNullable<BlockFields["mixer"]>, mlp: NonNullable<BlockFields["ffn"]>) {
  return {
    attention: { shared: true, input: "stream_and_embedding", output: "side", mixer: attention } satisfies BlockFields,
    mlp: { shared: true, input: "side", output: "side", ffn: mlp } satisfies BlockFields,
  };
}
