// Exporting where onnxruntime-node is not installed.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it, vi } from "vitest";
import { commands } from "../../../src/cli/commands.ts";
import { runHere } from "../../cli/run.ts";

vi.mock("onnxruntime-node", () => {
  throw Object.assign(new Error("Cannot find package 'onnxruntime-node'"), { code: "ERR_MODULE_NOT_FOUND" });
});

const folder = mkdtempSync(join(tmpdir(), "hybraid-unverified-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("an export without onnxruntime works, and says that it was not verified and how to", async () => {
  const out = join(folder, "llama");
  const { stdout, code } = await runHere(
    commands,
    ...["export", "test/fixtures/hf/llama", "--format", "onnx", "--out", out],
  );
  expect(code).toBe(0);
  expect(stdout).toContain("not verified: onnxruntime-node is not installed (npm install onnxruntime-node)");
  const verified = await runHere(commands, "verify", out);
  expect(verified.stderr).toContain("verifying needs onnxruntime-node: npm install onnxruntime-node");
  expect(verified.code).toBe(1);
});
