// Text to token ids and back, behind one interface: raw bytes, or any Hugging Face tokenizer.json.
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { DataError } from "./error.ts";

/** Turns text into token ids and back. */
export interface Tokenizer {
  /** For messages and reports. */
  readonly name: string;
  /** One more than the largest id that {@link encode} can give. */
  readonly vocabSize: number;
  /** Id that marks the end of a document, where the tokenizer has one. */
  readonly endOfText: number | undefined;
  /** Token ids of a text, without special tokens added. Throws {@link DataError} for text that has none. */
  encode(text: string | Uint8Array): Int32Array;
  /** Text of token ids. Bytes that are not UTF-8 become U+FFFD. Throws {@link DataError} for an id out of range. */
  decode(tokens: ArrayLike<number>): string;
  /** A decoder for tokens that come one at a time. */
  decoder(): StreamingDecoder;
}

/** Decodes as tokens come; a character whose bytes are spread over tokens is held back until it is whole. */
export interface StreamingDecoder {
  /** The text that `token` completes; empty while a character is incomplete. */
  push(token: number): string;
  /** What is left, an incomplete character as U+FFFD. The decoder is then as new. */
  end(): string;
}

/** The tokenizer with one token per byte: 256 ids, no special tokens, every file representable. */
export function byteTokenizer(): Tokenizer {
  const decode = (tokens: ArrayLike<number>) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(toBytes(tokens));
  return {
    name: "bytes",
    vocabSize: 256,
    endOfText: undefined,
    encode: (text) => Int32Array.from(typeof text === "string" ? new TextEncoder().encode(text) : text),
    decode,
    decoder: () => {
      let utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
      return {
        push: (token) => utf8.decode(toBytes([token]), { stream: true }),
        end: () => {
          const rest = utf8.decode();
          utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
          return rest;
        },
      };
    },
  };
}

function toBytes(tokens: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(tokens.length);
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] ?? -1;
    if (!Number.isInteger(token) || token < 0 || token > 255) throw outOfRange(token, 256, "bytes");
    bytes[i] = token;
  }
  return bytes;
}

/**
 * A tokenizer from the parsed content of `tokenizer.json` and, where there is one, `tokenizer_config.json`.
 * Throws {@link DataError} when they do not describe a tokenizer that can be run.
 */
export function huggingFaceTokenizer(json: unknown, config: unknown = {}, name = "tokenizer.json"): Tokenizer {
  const { tokenizer, vocabulary } = open(json, config, name);
  const vocabSize = vocabulary.reduce((largest, id) => Math.max(largest, id), -1) + 1;
  if (vocabSize === 0) throw new DataError(`${name}: the tokenizer's vocabulary is empty`);

  const decode = (tokens: ArrayLike<number>): string => {
    const ids = Array.from(tokens);
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize) throw outOfRange(id, vocabSize, name);
    }
    return ids.length === 0 ? "" : tokenizer.decode(ids, { clean_up_tokenization_spaces: false });
  };
  return {
    name,
    vocabSize,
    endOfText: endOfText(tokenizer, config),
    encode: (text) => {
      const string = typeof text === "string" ? text : fromUtf8(text);
      const { ids } = tokenizer.encode(string, { add_special_tokens: false });
      const unknown = ids.findIndex((id) => !Number.isInteger(id));
      if (unknown >= 0) throw new DataError(`${name}: no token for part of the text, and no unknown token to stand in`);
      return Int32Array.from(ids);
    },
    decode,
    decoder: () => windowDecoder(decode),
  };
}

function fromUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new DataError("the text is not valid UTF-8, and only the byte tokenizer takes other bytes", { cause });
  }
}

/** What is used of the library, whose own declarations do not resolve under Node's module rules. */
interface Backend {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  get_vocab(withAddedTokens: boolean): Map<string, number>;
}

function open(json: unknown, config: unknown, name: string): { tokenizer: Backend; vocabulary: number[] } {
  const found = json as { model?: { type?: unknown; vocab?: unknown } } | null;
  if (typeof found !== "object" || found === null || typeof found.model !== "object" || found.model === null) {
    throw new DataError(`${name}: not a tokenizer.json: it has no "model" object`);
  }
  try {
    const tokenizer: Backend = new HuggingFaceTokenizer(
      found,
      typeof config === "object" && config !== null ? config : {},
    );
    return { tokenizer, vocabulary: [...tokenizer.get_vocab(true).values()] };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${name}: the tokenizer cannot be built: ${reason}`, { cause });
  }
}

/** The end-of-text id: what the configuration names, else a special token of one of the customary names. */
function endOfText(tokenizer: Backend, config: unknown): number | undefined {
  const named = (config as { eos_token?: string | { content?: string } } | null)?.eos_token;
  const configured = typeof named === "object" ? named?.content : named;
  if (configured !== undefined) return tokenizer.token_to_id(configured);
  for (const content of ["<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>"]) {
    const id = tokenizer.token_to_id(content);
    if (id !== undefined) return id;
  }
  return undefined;
}

/** So many tokens without a whole character hold none: bytes that are not UTF-8 must not be held back for ever. */
const LONGEST_WAIT = 32;

/**
 * Streams any decoder whose text of a prefix is a prefix of the text, up to an incomplete last character. Only a
 * window is decoded again at each step: the tokens of the last piece given out, for context (word-start spaces
 * depend on the token before), and those not given out yet.
 */
function windowDecoder(decode: (tokens: number[]) => string): StreamingDecoder {
  let context: number[] = [];
  let pending: number[] = [];
  const take = (whole: boolean): string => {
    const before = decode(context);
    const after = decode([...context, ...pending]);
    if (!whole && (after.length <= before.length || after.endsWith("\ufffd"))) return "";
    if (pending.length > 0) context = pending;
    pending = [];
    return after.slice(before.length);
  };
  return {
    push: (token) => {
      pending.push(token);
      return take(pending.length >= LONGEST_WAIT);
    },
    end: () => {
      const rest = take(true);
      context = [];
      return rest;
    },
  };
}

/**
 * Throws {@link DataError} unless every id of the tokenizer is a row of the model's embedding.
 *
 * @param vocabSize the model's vocabulary size
 */
export function requireVocabulary(tokenizer: Tokenizer, vocabSize: number, model = "the model"): void {
  if (tokenizer.vocabSize > vocabSize) {
    throw new DataError(
      `tokenizer ${tokenizer.name} has ${tokenizer.vocabSize} tokens, but ${model} has a vocabulary of ${vocabSize}; ` +
        `vocab_size must be at least ${tokenizer.vocabSize}`,
    );
  }
}

/** Throws {@link DataError} for the first id that is not an integer from 0 to `vocabSize` - 1. */
export function requireTokenRange(tokens: ArrayLike<number>, vocabSize: number, name = "tokens"): void {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] ?? -1;
    if (!Number.isInteger(token) || token < 0 || token >= vocabSize) {
      throw new DataError(`${name}: token ${i} is ${token}; allowed: integers from 0 to ${vocabSize - 1}`);
    }
  }
}

function outOfRange(token: number, vocabSize: number, name: string): DataError {
  return new DataError(`${name}: token id ${token} is out of range; allowed: integers from 0 to ${vocabSize - 1}`);
}
