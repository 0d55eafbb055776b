// Tokenizers: every text comes back, streaming gives the same text, and what cannot work is refused by name.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DataError } from "../../src/data/error.ts";
import {
  byteTokenizer,
  huggingFaceTokenizer,
  requireTokenRange,
  requireVocabulary,
  type Tokenizer,
} from "../../src/data/tokenizer.ts";

/** The 256 printable characters in which byte-level BPE writes bytes (GPT-2). */
function byteCharacters(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

/** A byte-level BPE tokenizer.json with three merges and an end-of-text token. */
function byteLevelJson() {
  const tokens = [...byteCharacters(), "Ġt", "he", "Ġthe"];
  return {
    version: "1.0",
    added_tokens: [
      {
        id: 300,
        content: "<|endoftext|>",
        special: true,
        lstrip: false,
        rstrip: false,
        normalized: false,
        single_word: false,
      },
    ],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: ["Ġ t", "h e", "Ġt he"],
    },
  };
}

/** A SentencePiece-like tokenizer.json: spaces as ▁, unknown characters as bytes, one space stripped at the start. */
function metaspaceJson() {
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`);
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, "▁", "a", "b", "ab", "▁ab"];
  const special = ["<unk>", "<s>", "</s>"].map((content, id) => ({ id, content, special: true, normalized: false }));
  return {
    added_tokens: special,
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      byte_fallback: true,
      fuse_unk: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: ["a b", "▁ ab"],
    },
  };
}

const tokenizers: [string, () => Tokenizer][] = [
  ["bytes", byteTokenizer],
  ["byte-level BPE", () => huggingFaceTokenizer(byteLevelJson())],
  ["BPE with byte fallback", () => huggingFaceTokenizer(metaspaceJson())],
];

function stream(tokenizer: Tokenizer, tokens: ArrayLike<number>): string[] {
  const decoder = tokenizer.decoder();
  return [...Array.from(tokens, (token) => decoder.push(token)), decoder.end()];
}

describe.each(tokenizers)("%s", (_, make) => {
  const tokenizer = make();
  const texts = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.string({ unit: fc.constantFrom("a", "b", " ", "the", " the", "é", "\n", "日本", "👩‍🚀", "🙂") }),
  );

  test("gives every text back", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const tokens = tokenizer.encode(text);
        requireTokenRange(tokens, tokenizer.vocabSize);
        expect(tokenizer.decode(tokens)).toBe(text);
        expect(tokenizer.encode(new TextEncoder().encode(text))).toEqual(tokens);
      }),
    );
  });

  test("streams the same text, characters whole", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const pieces = stream(tokenizer, tokenizer.encode(text));
        expect(pieces.join("")).toBe(text);
        if (!text.includes("\ufffd")) for (const piece of pieces) expect(piece).not.toContain("\ufffd");
      }),
    );
  });

  test("ends an incomplete character as U+FFFD and starts anew", () => {
    const decoder = tokenizer.decoder();
    const [first = 0] = tokenizer.encode("🙂").slice(-4);
    expect(decoder.push(first)).toBe("");
    expect(decoder.end()).toBe("\ufffd");
    expect(tokenizer.encode("ab").reduce((text, token) => text + decoder.push(token), "") + decoder.end()).toBe("ab");
  });

  test("does not hold back for ever what is no character", () => {
    const decoder = tokenizer.decoder();
    const [, continuation = 0] = tokenizer.encode("🙂").slice(-4);
    const text = Array.from({ length: 100 }, () => decoder.push(continuation)).join("");
    expect(text.length).toBeGreaterThan(50);
    expect(new Set(text)).toEqual(new Set("\ufffd"));
  });

  test("refuses ids that it does not have", () => {
    for (const token of [-1, 1.5, tokenizer.vocabSize]) {
      expect(() => tokenizer.decode([token])).toThrow(`token id ${token} is out of range; allowed: integers from 0 to`);
    }
  });
});

test("bytes are their own ids, invalid UTF-8 included", () => {
  expect(byteTokenizer().encode(Uint8Array.of(255, 0, 65))).toEqual(Int32Array.of(255, 0, 65));
  expect(byteTokenizer().decode([255, 65])).toBe("\ufffdA");
});

test("byte-level BPE merges as its file says and counts added tokens", () => {
  const tokenizer = huggingFaceTokenizer(byteLevelJson());
  expect(tokenizer.encode(" the")).toEqual(Int32Array.of(258));
  expect(tokenizer.encode("the<|endoftext|>")).toEqual(Int32Array.of("t".charCodeAt(0), 257, 300));
  expect(tokenizer.vocabSize).toBe(301);
  expect(tokenizer.endOfText).toBe(300);
  expect(huggingFaceTokenizer(byteLevelJson(), { eos_token: { content: "he" } }).endOfText).toBe(257);
  expect(huggingFaceTokenizer(metaspaceJson()).endOfText).toBe(2);
});

test.each([
  ["null", null, 'x.json: not a tokenizer.json: it has no "model" object'],
  ["no model", { added_tokens: [] }, 'it has no "model" object'],
  ["an unknown model", { ...byteLevelJson(), model: { type: "Nope" } }, "x.json: the tokenizer cannot be built"],
  [
    "an empty vocabulary",
    { ...byteLevelJson(), added_tokens: [], model: { type: "BPE", vocab: {}, merges: [] } },
    "vocabulary is empty",
  ],
])("a tokenizer.json of %s is refused", (_, json, message) => {
  expect(() => huggingFaceTokenizer(json, {}, "x.json")).toThrow(DataError);
  expect(() => huggingFaceTokenizer(json, {}, "x.json")).toThrow(message);
});

test("text that is not UTF-8 is refused where tokens are not bytes", () => {
  const tokenizer = huggingFaceTokenizer(byteLevelJson(), {}, "x.json");
  expect(() => tokenizer.encode(Uint8Array.of(65, 255))).toThrow("the text is not valid UTF-8");
});

test("a vocabulary that does not fit the model is refused with both sizes", () => {
  requireVocabulary(byteTokenizer(), 256);
  expect(() => requireVocabulary(byteTokenizer(), 255, "tiny.yaml")).toThrow(
    "tokenizer bytes has 256 tokens, but tiny.yaml has a vocabulary of 255; vocab_size must be at least 256",
  );
});

test("token ids out of range are refused with their place", () => {
  requireTokenRange([0, 9], 10);
  expect(() => requireTokenRange([0, 10], 10, "prompt")).toThrow(
    "prompt: token 1 is 10; allowed: integers from 0 to 9",
  );
  expect(() => requireTokenRange([-1], 10)).toThrow(DataError);
});
