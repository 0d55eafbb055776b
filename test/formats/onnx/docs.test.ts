// The examples for Node in docs/onnx.md, run as they stand.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { examples, exportForExamples } from "./examples.ts";

// Beneath node_modules, so that an example finds the packages that it imports.
const cache = resolve("node_modules/.cache");
mkdirSync(cache, { recursive: true });
const folder = mkdtempSync(join(cache, "hybraid-examples-"));
let expected = "";
beforeAll(async () => {
  expected = await exportForExamples(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const codes = examples("node");

it("has two examples for Node", () => expect(codes).toHaveLength(2));

it.each(codes.map((code) => [/from "(.*?)"/.exec(code)?.[1], code]))(
  "generates in Node through %s",
  async (_, code) => {
    const file = join(folder, "example.mjs");
    writeFileSync(file, code ?? "");
    const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: folder });
    expect(stdout).toBe(`${expected}\n`);
  },
);
