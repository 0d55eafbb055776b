// Reading: values and shapes of good files, and a clear refusal of every kind of bad one.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  blobSource,
  encodeSafetensors,
  MAX_HEADER_BYTES,
  memorySource,
  openSafetensors,
  type RandomAccessSource,
  SafetensorsError,
} from "../../../src/formats/safetensors/index.ts";
import { assemble } from "./bytes.ts";

const open = (bytes: Uint8Array) => openSafetensors(memorySource(bytes, "x.safetensors"));
const u8 = (shape: unknown, data_offsets: unknown, dtype: unknown = "U8") => ({ dtype, shape, data_offsets });

/** The message with which a file is refused. */
async function refusal(bytes: Uint8Array | RandomAccessSource): Promise<string> {
  const source = bytes instanceof Uint8Array ? memorySource(bytes, "x.safetensors") : bytes;
  const error = await openSafetensors(source).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SafetensorsError);
  return (error as SafetensorsError).message;
}

describe("a good file", () => {
  const data = new Uint8Array(24);
  const view = new DataView(data.buffer);
  for (const [i, value] of [1, -2, 3.5].entries()) view.setFloat32(4 * i, value, true);
  view.setBigInt64(12, -5n, true);
  view.setUint16(20, 0x3fc0, true);
  view.setUint8(22, 1);
  const bytes = assemble(
    {
      a: u8([3, 1], [0, 12], "F32"),
      scalar: u8([], [12, 20], "I64"),
      half: u8([1], [20, 22], "BF16"),
      flags: u8([2], [22, 24], "BOOL"),
      empty: u8([0, 7], [24, 24], "F32"),
      __metadata__: { format: "pt" },
    },
    data,
  );

  test("gives shapes, types, metadata and values", async () => {
    const file = await open(bytes);
    expect([...file.tensors.keys()]).toEqual(["a", "scalar", "half", "flags", "empty"]);
    expect(file.metadata).toEqual({ format: "pt" });
    expect(file.info("a")).toMatchObject({ dtype: "F32", shape: [3, 1], elements: 3, byteLength: 12 });
    expect(await file.read("a")).toEqual(Float32Array.of(1, -2, 3.5));
    expect(await file.read("scalar")).toEqual(BigInt64Array.of(-5n));
    expect(await file.readInt32("scalar")).toEqual(Int32Array.of(-5));
    expect(await file.readFloat32("half")).toEqual(Float32Array.of(1.5));
    expect(await file.read("flags")).toEqual(Uint8Array.of(1, 0));
    expect(await file.read("empty")).toEqual(new Float32Array(0));
  });

  test("is read the same from a Blob", async () => {
    const file = await openSafetensors(blobSource(new Blob([new Uint8Array(bytes)])));
    expect(await file.readFloat32("a")).toEqual(Float32Array.of(1, -2, 3.5));
  });

  test("is read in parts, touching only the bytes asked for", async () => {
    const asked: [number, number][] = [];
    const memory = memorySource(bytes);
    const read = (offset: number, length: number) => {
      asked.push([offset, length]);
      return memory.read(offset, length);
    };
    const file = await openSafetensors({ ...memory, read });
    asked.length = 0;
    expect(await file.read("a", { start: 1, count: 1 })).toEqual(Float32Array.of(-2));
    expect(asked).toEqual([[bytes.byteLength - 24 + 4, 4]]);
    const into = new Float32Array(2);
    expect(await file.readFloat32("a", { start: 1, into })).toBe(into);
    expect([...into]).toEqual([-2, 3.5]);
    await expect(file.read("a", { start: 2, count: 2 })).rejects.toThrow('"a": elements 2 to 4 of 3');
    await expect(file.readFloat32("a", { into })).rejects.toThrow("3 elements do not fit an array of 2");
  });

  test("says so when a tensor is not in it, is of another kind, or does not fit", async () => {
    const file = await open(bytes);
    expect(() => file.info("b")).toThrow('x.safetensors: tensor "b": not in the file, which has 5 tensors: "a, scalar');
    await expect(file.readInt32("a")).rejects.toThrow("dtype F32, where integers are expected");
    await expect(file.readFloat32("scalar")).rejects.toThrow(
      'x.safetensors: tensor "scalar": dtype I64, where floating point is expected',
    );
    await expect(file.readFloat32("flags")).rejects.toThrow("dtype BOOL, where floating point is expected");
    const wide = await open(
      await encodeSafetensors([{ name: "w", dtype: "I64", shape: [1], data: BigInt64Array.of(1n << 31n) }]),
    );
    await expect(wide.readInt32("w")).rejects.toThrow("element 0 is 2147483648, which does not fit 32 bits");
  });

  test("may have its header padded, and no tensors at all", async () => {
    expect((await open(assemble("{}   "))).tensors.size).toBe(0);
  });

  test("that shrinks after opening is reported as truncated", async () => {
    const file = await openSafetensors({
      ...memorySource(bytes, "x.safetensors"),
      read: async (offset, length) => bytes.slice(offset, Math.min(offset + length, bytes.byteLength - 24 + 6)),
    });
    await expect(file.read("a")).rejects.toThrow('x.safetensors: tensor "a": truncated: 6 of 12 bytes');
  });
});

describe("a bad file is refused", () => {
  const metadata = (value: unknown) => assemble({ __metadata__: value });
  test.each([
    ["empty", new Uint8Array(0), "x.safetensors: truncated: 0 bytes"],
    ["shorter than its prefix", new Uint8Array(7), "truncated: 7 bytes"],
    ["header longer than the file", assemble("{}").slice(0, 9), "truncated: header length 2, but only 1 bytes follow"],
    ["header not UTF-8", badUtf8(), "header is not valid UTF-8"],
    ["header not JSON", assemble('{"a":'), "header is not valid JSON"],
    ["header with a byte-order mark", assemble("\ufeff{}"), 'header begins with "\ufeff", not with "{"'],
    ["header a list", assemble("[]"), 'header begins with "[", not with "{"'],
    ["header empty", assemble(""), 'header begins with "", not with "{"'],
    ["nested deeply", assemble(`{"a":${"[".repeat(1e6)}`), "header is not valid JSON"],
    ["nested deeply, but closed", assemble(`{"a":${"[".repeat(1e5)}${"]".repeat(1e5)}}`), "not an object"],
    ["tensor twice", assemble('{"a":1,"a":2}'), 'header has the key "a" twice'],
    ["tensor twice, escaped", assemble('{"a":1,"\\u0061":2}'), 'header has the key "a" twice'],
    ["field twice", assemble('{"a":{"dtype":"U8","dtype":"I8"}}'), 'header has the key "dtype" twice'],
    ["entry no object", assemble({ a: 3 }), 'tensor "a": header entry is 3, not an object'],
    [
      "dtype unknown",
      assemble({ a: u8([], [0, 1], "F7") }, 1),
      'tensor "a": dtype "F7" is not known; allowed: U64, I64, F64, F32',
    ],
    ["dtype in lower case", assemble({ a: u8([], [0, 1], "u8") }, 1), 'dtype "u8" is not known'],
    ["dtype of Object.prototype", assemble({ a: u8([], [0, 1], "toString") }, 1), 'dtype "toString" is not known'],
    ["dtype missing", assemble({ a: { shape: [], data_offsets: [0, 1] } }, 1), "dtype undefined is not known"],
    ["shape no list", assemble({ a: u8(4, [0, 4]) }, 4), "shape 4 is not a list"],
    ["shape negative", assemble({ a: u8([-1], [0, 1]) }, 1), "shape [-1] has the size -1, not an integer of 0 or more"],
    ["shape fractional", assemble({ a: u8([1.5], [0, 1]) }, 1), "has the size 1.5"],
    ["shape a string", assemble({ a: u8(["2"], [0, 2]) }, 2), 'has the size "2"'],
    ["shape overflowing", assemble({ a: u8([2 ** 40, 2 ** 40], [0, 1]) }, 1), "overflows"],
    ["shape overflowing to 0", assemble({ a: u8([2 ** 52, 2 ** 52, 0], [0, 0]) }, 0), "overflows"],
    [
      "shape beyond integers",
      assemble('{"a":{"dtype":"U8","shape":[1e300],"data_offsets":[0,1]}}', 1),
      "has the size 1e+300",
    ],
    ["offsets missing", assemble({ a: { dtype: "U8", shape: [1] } }, 1), "data_offsets undefined is not [begin, end]"],
    ["offsets too many", assemble({ a: u8([1], [0, 1, 2]) }, 1), "data_offsets [0,1,2] is not [begin, end]"],
    ["offsets negative", assemble({ a: u8([1], [-1, 0]) }, 1), "data offset -1 is not an integer of 0 or more"],
    ["offsets fractional", assemble({ a: u8([1], [0.5, 1.5]) }, 2), "data offset 0.5"],
    ["offsets backwards", assemble({ a: u8([1], [1, 0]) }, 1), "data_offsets end before they begin: [1, 0]"],
    [
      "offsets unlike the shape",
      assemble({ a: u8([3], [0, 4], "I32") }, 4),
      "hold 4 bytes, but I32 of shape [3] takes 12",
    ],
    [
      "outside the file",
      assemble({ a: u8([4], [0, 4]) }, 3),
      "[0, 4] lie outside the 3 bytes of data; the file may be truncated",
    ],
    [
      "overlapping",
      assemble({ a: u8([4], [0, 4]), b: u8([4], [2, 6]) }, 6),
      'tensor "b": data_offsets [2, 6] overlap those of tensor "a"',
    ],
    ["the same place twice", assemble({ a: u8([4], [0, 4]), b: u8([4], [0, 4]) }, 4), "overlap"],
    ["with a gap", assemble({ a: u8([1], [0, 1]), b: u8([1], [2, 3]) }, 3), 'leave a gap of 1 bytes after tensor "a"'],
    ["with a gap at the start", assemble({ a: u8([1], [1, 2]) }, 2), "leave a gap of 1 bytes after the header"],
    ["with bytes left over", assemble({ a: u8([1], [0, 1]) }, 3), '2 bytes after tensor "a" belong to no tensor'],
    ["metadata no object", metadata([1]), "__metadata__ is [1], not an object of strings"],
    ["metadata null", metadata(null), "__metadata__ is null"],
    ["metadata not strings", metadata({ step: 3 }), '__metadata__ "step" is 3, not a string'],
  ])("%s", async (_, bytes, message) => {
    expect(await refusal(bytes)).toContain(message);
  });

  test("a header bomb, before any of it is read", async () => {
    const prefix = new Uint8Array(8);
    new DataView(prefix.buffer).setBigUint64(0, 2n ** 60n, true);
    const bomb = { name: "bomb", size: 2 ** 62, read: async (_: number, length: number) => prefix.slice(0, length) };
    expect(await refusal(bomb)).toContain(`header length ${2n ** 60n} is over the allowed ${MAX_HEADER_BYTES} bytes`);
  });
});

describe("whatever its bytes", () => {
  const tensor = fc.record({
    dtype: fc.constantFrom("F32" as const, "I8" as const, "F64" as const, "BF16" as const),
    shape: fc.array(fc.nat({ max: 4 }), { maxLength: 3 }),
  });
  const file = fc
    .dictionary(fc.string({ maxLength: 6, unit: "grapheme" }), tensor, { maxKeys: 5 })
    .map((tensors) =>
      Object.entries(tensors).map(([name, { dtype, shape }], i) => {
        const bytes = { F32: 4, I8: 1, F64: 8, BF16: 2 }[dtype] * shape.reduce((a, b) => a * b, 1);
        return { name, dtype, shape, data: new Uint8Array(bytes).map((_, j) => 31 * i + j) };
      }),
    )
    .filter((tensors) => tensors.every(({ name }) => name !== "__metadata__"));

  test("a written file reads back as it was", async () => {
    await fc.assert(
      fc.asyncProperty(file, fc.dictionary(fc.string(), fc.string()), async (tensors, metadata) => {
        const back = await open(await encodeSafetensors(tensors, metadata));
        expect(Object.entries(back.metadata).sort()).toEqual(Object.entries(metadata).sort());
        expect(back.tensors.size).toBe(tensors.length);
        for (const { name, dtype, shape, data } of tensors) {
          expect(back.info(name)).toMatchObject({ dtype, shape });
          const read = await back.read(name);
          expect(new Uint8Array(read.buffer, read.byteOffset, read.byteLength)).toEqual(data);
        }
      }),
    );
  });

  test("a mutated file is read or refused with a SafetensorsError, nothing else", async () => {
    const mutation = fc.record({
      at: fc.nat({ max: 400 }),
      to: fc.nat({ max: 255 }),
      cut: fc.option(fc.nat({ max: 400 })),
    });
    await fc.assert(
      fc.asyncProperty(file, fc.array(mutation, { minLength: 1, maxLength: 4 }), async (tensors, mutations) => {
        let bytes = await encodeSafetensors(tensors);
        for (const { at, to, cut } of mutations) {
          bytes[at % bytes.length] = to;
          if (cut !== null && cut > 200) bytes = bytes.slice(0, Math.max(1, cut % bytes.length));
        }
        try {
          const back = await open(bytes);
          for (const name of back.tensors.keys()) await back.readFloat32(name);
        } catch (error) {
          expect(error).toBeInstanceOf(SafetensorsError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("a header of any JSON is read or refused with a SafetensorsError, nothing else", async () => {
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), fc.jsonValue()), async (header) => {
        await open(assemble(header, 8)).catch((error: unknown) => expect(error).toBeInstanceOf(SafetensorsError));
      }),
    );
  });
});

function badUtf8(): Uint8Array {
  const bytes = assemble('{"a":1}');
  bytes[10] = 0xff;
  return bytes;
}
