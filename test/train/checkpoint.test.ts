// Checkpoints: all of a run's state comes back, and no disk, signal or damage costs more than the newest one.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FileWriteError } from "../../src/formats/node/atomic-file.ts";
import { encodeSafetensors, memorySource, openSafetensors } from "../../src/formats/safetensors/index.ts";
import {
  CheckpointError,
  decodeCheckpoint,
  encodeCheckpoint,
  requireSameSpec,
  requireTensors,
} from "../../src/train/checkpoint.ts";
import { listCheckpoints, readLatest, saveCheckpoint } from "../../src/train/node/checkpoints.ts";
import { exampleCheckpoint } from "./example-checkpoint.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "hybraid-checkpoint-"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(directory, { recursive: true });
});

const child = fileURLToPath(new URL("checkpoint-child.ts", import.meta.url));
const steps = async () => (await listCheckpoints(directory)).map(({ step }) => step);
const file = (step: number) => join(directory, `step-${String(step).padStart(8, "0")}.safetensors`);

describe("a checkpoint", () => {
  test("comes back with every tensor and every other state", async () => {
    await saveCheckpoint(directory, exampleCheckpoint(7));
    expect(await readLatest(directory)).toEqual({ checkpoint: exampleCheckpoint(7), path: file(7), damaged: [] });
  });

  test("may hold tensors in memory that threads share", async () => {
    const data = new Float32Array(new SharedArrayBuffer(8));
    data.set([1, 2]);
    const checkpoint = {
      ...exampleCheckpoint(1),
      groups: { weights: new Map([["a", { dtype: "F32" as const, shape: [2], data }]]) },
    };
    await saveCheckpoint(directory, checkpoint);
    const latest = await readLatest(directory);
    expect(latest?.checkpoint.groups.weights?.get("a")?.data).toEqual(Float32Array.of(1, 2));
  });

  test("of another architecture is refused", () => {
    requireSameSpec(exampleCheckpoint(1), "abc");
    expect(() => requireSameSpec(exampleCheckpoint(1), "xyz", "run/1")).toThrow(
      "run/1 belongs to another architecture: its hash is abc, this one's xyz",
    );
  });

  test("with other tensors than the model's is refused, all differences named", () => {
    const { weights = new Map() } = exampleCheckpoint(1, 4).groups;
    const f32 = (...shape: number[]) => ({ dtype: "F32" as const, shape });
    requireTensors(
      weights,
      new Map([
        ["a.weight", f32(4)],
        ["b", f32(4)],
      ]),
    );
    const wanted = new Map([
      ["a.weight", f32(2, 2)],
      ["c", f32(1)],
    ]);
    expect(() => requireTensors(weights, wanted)).toThrow(
      'the checkpoint: "a.weight" is F32 [4], expected F32 [2,2]; "c" is missing; "b" is not expected',
    );
  });
});

describe("a folder of checkpoints", () => {
  test("that is empty or missing has no latest", async () => {
    expect(await readLatest(directory)).toBeUndefined();
    expect(await readLatest(join(directory, "none"))).toBeUndefined();
  });

  test("keeps the newest and counts steps as numbers", async () => {
    for (const step of [9, 10, 100_000_001, 100_000_002]) await saveCheckpoint(directory, exampleCheckpoint(step), 3);
    expect(await steps()).toEqual([100_000_002, 100_000_001, 10]);
    await expect(saveCheckpoint(directory, exampleCheckpoint(1), 0)).rejects.toThrow("cannot keep 0");
  });

  test("forgets the future when a run goes on from an earlier step", async () => {
    for (const step of [10, 20, 30]) await saveCheckpoint(directory, exampleCheckpoint(step), 5);
    await saveCheckpoint(directory, exampleCheckpoint(15), 5);
    expect(await steps()).toEqual([15, 10]);
  });

  test("gives the newest that reads well, and says what is wrong with the others", async () => {
    for (const step of [1, 2, 3]) await saveCheckpoint(directory, exampleCheckpoint(step), 3);
    await truncate(file(3), 2000);
    await writeFile(file(2), "");
    const latest = await readLatest(directory);
    expect(latest?.checkpoint).toEqual(exampleCheckpoint(1));
    expect(latest?.damaged.map(({ path }) => path)).toEqual([file(3), file(2)]);
    expect(latest?.damaged[0]?.reason).toContain("the file may be truncated");
    await truncate(file(1), 100);
    const error = await readLatest(directory).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(String(error)).toMatch(
      /no checkpoint can be read:\n.*step-00000003.*truncated.*\n.*step-00000002.*\n.*step-00000001/,
    );
  });
});

describe("when writing fails", () => {
  /** Makes file writes fail as on a disk with room for `room` more bytes. */
  async function fillDisk(room: number, code = "ENOSPC"): Promise<void> {
    const handle = await open(file(0), "w");
    const prototype = Object.getPrototypeOf(handle);
    await handle.close();
    await rm(file(0));
    const write = prototype.write;
    let left = room;
    vi.spyOn(prototype, "write").mockImplementation(async function (this: unknown, ...args: unknown[]) {
      left -= (args[0] as Uint8Array).byteLength;
      if (left < 0) throw Object.assign(new Error(`${code}: write`), { code, syscall: "write" });
      return write.apply(this, args);
    });
  }

  test.each([0, 100, 1000, 5000, 9000])("on a disk with %d bytes left, the last checkpoint stays", async (room) => {
    await saveCheckpoint(directory, exampleCheckpoint(1), 1);
    const before = await readFile(file(1));
    await fillDisk(room);
    const error = await saveCheckpoint(directory, exampleCheckpoint(2), 1).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FileWriteError);
    expect(String(error)).toContain(
      `${file(2)}: cannot be written: no space left on the disk; what was there before is untouched`,
    );
    vi.restoreAllMocks();
    expect(await readdir(directory)).toEqual(["step-00000001.safetensors"]);
    expect(await readFile(file(1))).toEqual(before);
    await saveCheckpoint(directory, exampleCheckpoint(2), 1);
    expect(await steps()).toEqual([2]);
  });

  test("where a file stands in the folder's place, the reason is said", async () => {
    await writeFile(join(directory, "taken"), "");
    await expect(saveCheckpoint(join(directory, "taken"), exampleCheckpoint(1))).rejects.toThrow(FileWriteError);
  });
});

describe("when the writer is killed", () => {
  const start = (mode: string) =>
    spawn(process.execPath, ["--import", "tsx", child, directory, mode], { stdio: ["ignore", "pipe", "inherit"] });

  test("in the middle of a checkpoint, the one before is read and the debris is cleared", async () => {
    await saveCheckpoint(directory, exampleCheckpoint(1));
    const writer = start("stall");
    await new Promise((resolve) => writer.stdout.once("data", resolve));
    writer.kill("SIGKILL");
    await new Promise((resolve) => writer.once("exit", resolve));
    expect((await readdir(directory)).filter((name) => name.endsWith(".tmp"))).toHaveLength(1);
    expect((await readLatest(directory))?.checkpoint).toEqual(exampleCheckpoint(1));
    await saveCheckpoint(directory, exampleCheckpoint(2));
    expect((await readdir(directory)).sort()).toEqual(["step-00000001.safetensors", "step-00000002.safetensors"]);
  });

  test("at any moment, the newest whole checkpoint is read", async () => {
    for (const delay of [5, 23, 60]) {
      const writer = start("loop");
      let last = 0;
      writer.stdout.on("data", (chunk) => {
        last = Number(String(chunk).trim().split("\n").at(-1));
      });
      await new Promise((resolve) => writer.stdout.once("data", resolve));
      await new Promise((resolve) => setTimeout(resolve, delay));
      writer.kill("SIGKILL");
      await new Promise((resolve) => writer.once("close", resolve));
      const latest = await readLatest(directory);
      expect(latest?.damaged).toEqual([]);
      const step = latest?.checkpoint.step ?? -1;
      expect(step).toBeGreaterThanOrEqual(last);
      for (const [name, group] of Object.entries(exampleCheckpoint(step, 200_000).groups)) {
        for (const [tensor, { data }] of group) {
          const found = latest?.checkpoint.groups[name]?.get(tensor)?.data;
          expect(found && Buffer.compare(Buffer.from(found.buffer), Buffer.from(data.buffer))).toBe(0);
        }
      }
      await rm(directory, { recursive: true });
      await mkdir(directory);
    }
  });
});

describe("a file that is no checkpoint is refused", () => {
  const decode = async (metadata: Record<string, string>, name = "weights.a") =>
    decodeCheckpoint(
      await openSafetensors(
        memorySource(
          await encodeSafetensors([{ name, dtype: "U8", shape: [1], data: Uint8Array.of(1) }], metadata),
          "x",
        ),
      ),
    );
  const good = JSON.parse(encodeCheckpoint(exampleCheckpoint(1)).metadata.hybraid_checkpoint ?? "");

  test.each([
    ["other safetensors", {}, "x: not a checkpoint: its metadata have no hybraid_checkpoint"],
    ["damaged JSON", { hybraid_checkpoint: "{" }, "metadata are damaged"],
    [
      "a future version",
      { hybraid_checkpoint: JSON.stringify({ ...good, version: 2 }) },
      "checkpoint version 2; this program reads 1",
    ],
    ["a step that is none", { hybraid_checkpoint: JSON.stringify({ ...good, step: -1 }) }, "metadata are damaged"],
    ["null", { hybraid_checkpoint: "null" }, "version undefined"],
  ])("%s", async (_, metadata, message) => {
    await expect(decode(metadata as Record<string, string>)).rejects.toThrow(message);
  });

  test.each(["plain", "other.a", "toString.a"])("a stray tensor %s", async (name) => {
    await expect(decode({ hybraid_checkpoint: JSON.stringify(good) }, name)).rejects.toThrow(
      `tensor "${name}" belongs to none of the groups weights, first_moment`,
    );
  });

  test("a group name with a dot", () => {
    expect(() => encodeCheckpoint({ ...exampleCheckpoint(1), groups: { "a.b": new Map() } })).toThrow(CheckpointError);
  });
});
