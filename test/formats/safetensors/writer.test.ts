// Writing: layout, streaming, refusal of tensors at odds with themselves, and files that are replaced whole or not.
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FileWriteError } from "../../../src/formats/node/atomic-file.ts";
import {
  encodeSafetensors,
  memorySource,
  openSafetensors,
  type TensorToWrite,
  writeSafetensors,
} from "../../../src/formats/safetensors/index.ts";
import { fileSource, withSafetensorsFile, writeSafetensorsFile } from "../../../src/formats/safetensors/node/file.ts";

const tensor = (name: string, dtype: TensorToWrite["dtype"], data: TensorToWrite["data"], shape: number[]) => ({
  name,
  dtype,
  shape,
  data,
});

describe("the layout", () => {
  test("puts wide types first, then sorts by name, and aligns every tensor", async () => {
    const tensors = [
      tensor("b", "I8", Int8Array.of(1, 2, 3), [3]),
      tensor("z", "F32", Float32Array.of(1), [1]),
      tensor("y", "F32", Float32Array.of(2), []),
      tensor("a", "F64", Float64Array.of(3), [1, 1]),
    ];
    const bytes = await encodeSafetensors(tensors, { made: "here" });
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
    expect(Object.keys(JSON.parse(text))).toEqual(["__metadata__", "a", "y", "z", "b"]);
    expect(JSON.parse(text).z).toEqual({ dtype: "F32", shape: [1], data_offsets: [12, 16] });
    expect(await encodeSafetensors(tensors.toReversed(), { made: "here" })).toEqual(bytes);
  });

  test("is, byte for byte, that of the reference implementation", async () => {
    const path = new URL("../../fixtures/safetensors/reference.safetensors", import.meta.url);
    const bytes = new Uint8Array(await readFile(path)); // written by the Rust library: I32 and F32 tensors
    const file = await openSafetensors(memorySource(bytes));
    const tensors = await Promise.all(
      [...file.tensors.values()].map(async (info) => ({ ...info, data: await file.read(info.name) })),
    );
    expect(await encodeSafetensors(tensors.toReversed(), file.metadata)).toEqual(bytes);
  });

  test("keeps names such as __proto__ apart from JavaScript's own", async () => {
    const bytes = await encodeSafetensors([tensor("__proto__", "U8", Uint8Array.of(9), [1])]);
    expect(await (await openSafetensors(memorySource(bytes))).read("__proto__")).toEqual(Uint8Array.of(9));
  });
});

describe("a stream", () => {
  test("makes each tensor when its turn comes, in pieces", async () => {
    const log: string[] = [];
    const lazily = (name: string, pieces: number) =>
      tensor(
        name,
        "F32",
        async function* () {
          for (let i = 0; i < pieces; i++) {
            log.push(`make ${name}${i}`);
            yield Float32Array.of(i, -i);
          }
        },
        [pieces, 2],
      );
    const written: Uint8Array[] = [];
    await writeSafetensors(
      {
        write: async (bytes) => {
          log.push(`write ${bytes.byteLength > 8 ? "header" : bytes.byteLength}`);
          written.push(bytes.slice());
        },
      },
      [lazily("a", 2), lazily("b", 1)],
    );
    expect(log).toEqual(["write header", "make a0", "write 8", "make a1", "write 8", "make b0", "write 8"]);
    const file = await openSafetensors(memorySource(Buffer.concat(written)));
    expect([...(await file.read("a"))]).toEqual([0, -0, 1, -1]);
  });

  test("takes memory shared between threads", async () => {
    const shared = new Float32Array(new SharedArrayBuffer(8));
    shared.set([1, 2]);
    const bytes = await encodeSafetensors([tensor("a", "F32", shared, [2])]);
    expect(await (await openSafetensors(memorySource(bytes))).read("a")).toEqual(Float32Array.of(1, 2));
  });
});

test.each([
  [
    "too few elements",
    tensor("a", "F32", Float32Array.of(1), [2]),
    '"a": data have 4 bytes, but F32 of shape [2] takes 8',
  ],
  [
    "too many pieces",
    tensor("a", "U8", () => [Uint8Array.of(1), Uint8Array.of(2)], [1]),
    "at least 2 bytes, but U8 of shape [1] takes 1",
  ],
  ["too few pieces", tensor("a", "U8", () => [], [1]), "data have 0 bytes"],
  ["another array type", tensor("a", "F32", Int32Array.of(1), [1]), "a Int32Array does not hold F32"],
  [
    "another array type in a piece",
    tensor("a", "I64", () => [Float64Array.of(1)], [1]),
    "a Float64Array does not hold I64",
  ],
  ["a bad shape", tensor("a", "F32", new Float32Array(1), [-1]), "shape [-1] has the size -1"],
  ["a reserved name", tensor("__metadata__", "U8", Uint8Array.of(1), [1]), "the name is reserved"],
])("a tensor with %s is refused", async (_, bad, message) => {
  await expect(encodeSafetensors([bad])).rejects.toThrow(message);
});

test("a tensor given twice is refused", async () => {
  const a = tensor("a", "U8", Uint8Array.of(1), [1]);
  await expect(encodeSafetensors([a, a])).rejects.toThrow('tensor "a": given twice');
});

describe("a file", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "hybraid-safetensors-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test("is written and read back, in parts", async () => {
    const path = join(directory, "a.safetensors");
    const values = Float32Array.from({ length: 3_000_000 }, (_, i) => i);
    await writeSafetensorsFile(path, [tensor("a", "F32", values, [3000, 1000])], { k: "v" });
    await withSafetensorsFile(path, async (file) => {
      expect(file.metadata).toEqual({ k: "v" });
      expect(await file.read("a", { start: 2_999_999 })).toEqual(Float32Array.of(2_999_999));
      expect(Buffer.compare(Buffer.from((await file.readFloat32("a")).buffer), Buffer.from(values.buffer))).toBe(0);
    });
    expect(await readdir(directory)).toEqual(["a.safetensors"]);
  });

  test("keeps its old content when writing fails half-way, and leaves nothing else", async () => {
    const path = join(directory, "a.safetensors");
    await writeSafetensorsFile(path, [tensor("a", "U8", Uint8Array.of(1), [1])]);
    const before = await readFile(path);
    const failing = tensor(
      "a",
      "U8",
      function* () {
        yield new Uint8Array(1 << 20);
        throw new Error("lost");
      },
      [1 << 21],
    );
    await expect(writeSafetensorsFile(path, [failing])).rejects.toThrow("lost");
    expect(await readFile(path)).toEqual(before);
    expect(await readdir(directory)).toEqual(["a.safetensors"]);
  });

  test("that cannot be opened or written is named with the reason", async () => {
    await expect(fileSource(join(directory, "none"))).rejects.toThrow("none: no such file");
    await expect(fileSource(directory)).rejects.toThrow("not a file");
    const path = join(directory, "none", "a.safetensors");
    const error = await writeSafetensorsFile(path, []).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FileWriteError);
    expect(String(error)).toContain(`${path}: cannot be written: the folder does not exist`);
  });

  test("cut short at any byte is refused", async () => {
    const path = join(directory, "a.safetensors");
    await writeSafetensorsFile(path, [tensor("a", "F32", Float32Array.of(1, 2), [2])]);
    const whole = await readFile(path);
    for (let length = 0; length < (await stat(path)).size; length++) {
      await writeFile(path, whole.subarray(0, length));
      await expect(withSafetensorsFile(path, async (file) => file)).rejects.toThrow("truncated");
    }
  });
});
