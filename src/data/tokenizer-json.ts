// The byte tokenizer as files that other programs read: a byte-level BPE without merges, whose tokens are the 256 bytes.

/** The character that byte-level tokenizers write for each byte: printable ones stand for themselves, others from U+0100 on. */
function byteCharacters(): string[] {
  const characters: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    characters.push(String.fromCodePoint(isPrintable ? byte : next++));
  }
  return characters;
}

/** tokenizer.json and tokenizer_config.json of the tokenizer with one token per byte, for a model that reads `length` tokens. */
export function byteTokenizerFiles(
  length?: number,
): Readonly<Record<"tokenizer.json" | "tokenizer_config.json", string>> {
  const characters = byteCharacters();
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(characters.map((character, byte) => [character, byte])),
      merges: [],
    },
  };
  const config = {
    ...PLAIN_CONFIG,
    pad_token: characters[0],
    ...(length === undefined ? {} : { model_max_length: length }),
  };
  return { "tokenizer.json": json(tokenizer), "tokenizer_config.json": json(config) };
}

const PLAIN_CONFIG = {
  tokenizer_class: "PreTrainedTokenizerFast",
  clean_up_tokenization_spaces: false,
  padding_side: "left",
} as const;

/** tokenizer_config.json for a tokenizer.json that has none. */
export const plainTokenizerConfig = (): string => json(PLAIN_CONFIG);

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;
