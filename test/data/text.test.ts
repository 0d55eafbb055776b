// Documents to tokens: packing, JSONL with its bad lines, files and globs, and the division into training and held-out.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseJsonl } from "../../src/data/jsonl.ts";
import { findFiles, readJsonlFiles, readTextFiles, readTokenizer } from "../../src/data/node/text-files.ts";
import { packTokens, splitTokens, tokenArray, tokenizeDocuments } from "../../src/data/text.ts";
import { byteTokenizer, type Tokenizer } from "../../src/data/tokenizer.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("tokenizing", () => {
  test("uses the narrowest integers that hold the vocabulary", () => {
    expect(tokenArray(1, 256)).toBeInstanceOf(Uint8Array);
    expect(tokenArray(1, 257)).toBeInstanceOf(Uint16Array);
    expect(tokenArray(1, 65536)).toBeInstanceOf(Uint16Array);
    expect(tokenArray(1, 65537)).toBeInstanceOf(Int32Array);
    expect(packTokens([Uint8Array.of(1), Uint16Array.of(300)])).toEqual(Uint16Array.of(1, 300));
  });

  test("ends each document with the end-of-text id, where there is one, and leaves out empty ones", () => {
    const documents = [
      { name: "a", text: "ab" },
      { name: "b", text: "" },
      { name: "c", text: bytes("c") },
    ];
    expect(tokenizeDocuments(documents, byteTokenizer())).toEqual([Uint8Array.of(97, 98), Uint8Array.of(99)]);
    const ending: Tokenizer = { ...byteTokenizer(), vocabSize: 257, endOfText: 256 };
    expect(tokenizeDocuments(documents, ending)).toEqual([Uint16Array.of(97, 98, 256), Uint16Array.of(99, 256)]);
  });

  test("refuses data without a single token, and names the document that cannot be tokenised", () => {
    expect(() => tokenizeDocuments([], byteTokenizer())).toThrow("the data are empty: no documents");
    expect(() => tokenizeDocuments([{ name: "a.txt", text: "" }], byteTokenizer())).toThrow("empty: a.txt");
    const refusing: Tokenizer = {
      ...byteTokenizer(),
      encode: () => {
        throw new Error("no");
      },
    };
    expect(() => tokenizeDocuments([{ name: "a.txt", text: "x" }], refusing)).toThrow("a.txt: no");
  });
});

describe("JSONL", () => {
  test("gives one document a line, blank lines left out", () => {
    expect(parseJsonl(bytes('{"text":"a"}\n\n{"id":1,"text":"b"}\r\n'), "x.jsonl", "text")).toEqual([
      { name: "x.jsonl:1", text: "a" },
      { name: "x.jsonl:3", text: "b" },
    ]);
  });

  test.each([
    ['{"text":"a"}\n{"text"', "x.jsonl:2: not valid JSON"],
    ["[1]", "x.jsonl:1: not an object, but [1]"],
    ["null", "x.jsonl:1: not an object, but null"],
    ['{"content":"a","id":1}', 'x.jsonl:1: no field "text"; found "content", "id"'],
    ["{}", 'no field "text"; found no fields'],
    ['{"text":3}', 'x.jsonl:1: field "text" is 3, not a string'],
  ])("names file and line of %j", (content, message) => {
    expect(() => parseJsonl(bytes(content), "x.jsonl", "text")).toThrow(message);
  });

  test("does not take inherited names for fields", () => {
    expect(() => parseJsonl(bytes("{}"), "x.jsonl", "toString")).toThrow('no field "toString"');
  });

  test("refuses what is not UTF-8", () => {
    expect(() => parseJsonl(Uint8Array.of(0xff), "x.jsonl", "text")).toThrow("x.jsonl: not valid UTF-8");
  });
});

describe("files", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "hybraid-text-"));
    await mkdir(join(directory, "sub"));
    await writeFile(join(directory, "b.txt"), "bee");
    await writeFile(join(directory, "a.txt"), "ay");
    await writeFile(join(directory, "sub", "[c].txt"), "sea");
    await writeFile(join(directory, "d.jsonl"), '{"text":"dee"}\n{"text":4}\n');
    await writeFile(join(directory, "tokenizer.json"), "{");
  });
  afterAll(() => rm(directory, { recursive: true }));
  const names = async (...patterns: string[]) =>
    (await findFiles(patterns, directory)).map((file) => file.slice(directory.length + 1));

  test("are found by path, folder and glob, sorted, once each", async () => {
    expect(await names("*.txt")).toEqual(["a.txt", "b.txt"]);
    expect(await names("b.txt", "**/*.txt")).toEqual(["a.txt", "b.txt", "sub/[c].txt"]);
    expect(await names("sub/[c].txt")).toEqual(["sub/[c].txt"]);
    expect(await names("sub")).toEqual(["sub/[c].txt"]);
    expect(await names(join(directory, "a.txt"), join(directory, "sub", "*"))).toEqual(["a.txt", "sub/[c].txt"]);
  });

  test("that are not there are named", async () => {
    await expect(names("*.txt", "*.md")).rejects.toThrow(`"*.md" matches no file in ${directory}`);
    await expect(names("none.txt")).rejects.toThrow('"none.txt" matches no file');
  });

  test("are read as documents", async () => {
    const documents = await readTextFiles(["*.txt"], directory);
    expect(documents.map(({ text }) => new TextDecoder().decode(text as Uint8Array))).toEqual(["ay", "bee"]);
    await expect(readJsonlFiles(["d.jsonl"], directory, "text")).rejects.toThrow('d.jsonl:2: field "text" is 4');
  });

  test.skipIf(process.platform !== "linux")("that cannot be read are named with the reason", async () => {
    // A file that exists and fails to be read, for the superuser too.
    await expect(readTextFiles(["/proc/self/mem"], directory)).rejects.toThrow("/proc/self/mem: cannot be read: EIO");
  });

  test("of tokenizers that cannot be read are named with the reason", async () => {
    await expect(readTokenizer(directory)).rejects.toThrow("tokenizer.json: not valid JSON");
    await expect(readTokenizer(join(directory, "none.json"))).rejects.toThrow(
      "none.json: cannot be read: no such file",
    );
  });
});

describe("the division into training and held-out tokens", () => {
  const streams = fc.array(
    fc.integer({ min: 1, max: 300 }).map((length) => new Uint8Array(length)),
    { minLength: 2, maxLength: 40 },
  );
  const fractions = fc.double({ min: 0.02, max: 0.9, noNaN: true });

  test("keeps every token exactly once, some on each side, and is the same every time", () => {
    fc.assert(
      fc.property(
        streams,
        fractions,
        fc.constantFrom("documents" as const, "chunks" as const),
        (lengths, fraction, by) => {
          let next = 0;
          const documents = lengths.map((stream) => Int32Array.from(stream, () => next++));
          const split = splitTokens(documents, { fraction, by });
          const all = [...split.train, ...split.validation].sort((a, b) => a - b);
          expect(all).toEqual(Array.from({ length: next }, (_, i) => i));
          expect(split.train.length).toBeGreaterThan(0);
          expect(split.validation.length).toBeGreaterThan(0);
          expect(splitTokens(documents, { fraction, by })).toEqual(split);
        },
      ),
    );
  });

  test("holds out nearly the wanted share, chosen by the seed", () => {
    const documents = Array.from({ length: 100 }, (_, i) => Int32Array.of(i, i));
    const split = splitTokens(documents, { fraction: 0.1 });
    expect(split.by).toBe("documents");
    expect(split.validation.length).toBe(20);
    expect(splitTokens(documents, { fraction: 0.1, seed: 1 }).validation).not.toEqual(split.validation);
    const chunked = splitTokens([new Uint8Array(1_000_000)], { fraction: 0.1 });
    expect(chunked.by).toBe("chunks");
    expect(chunked.validation.length / 1e6).toBeCloseTo(0.1, 1);
  });

  test("holds out whole documents or whole stretches", () => {
    const documents = Array.from({ length: 30 }, (_, i) => new Uint8Array(7).fill(i));
    const { validation } = splitTokens(documents, { fraction: 0.2 });
    for (let i = 0; i < validation.length; i += 7) expect(new Set(validation.subarray(i, i + 7)).size).toBe(1);
  });

  test("is refused where it makes no sense", () => {
    expect(() => splitTokens([Uint8Array.of(1, 2)], { fraction: 1 })).toThrow("is 1; allowed: over 0 and under 1");
    expect(() => splitTokens([Uint8Array.of(1)], { fraction: 0.5 })).toThrow("1 chunks cannot be divided");
    expect(() => splitTokens([new Uint8Array(9)], { fraction: 0.5, by: "documents" })).toThrow("1 documents cannot");
  });
});
