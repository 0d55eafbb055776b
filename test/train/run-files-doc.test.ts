// docs/run-files.md is what the schema of run files and the table of tasks say.
import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";

it("docs/run-files.md is up to date", () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    ["--import", "tsx", "scripts/generate-run-reference.mjs", "--check"],
    { encoding: "utf8" },
  );
  expect(stderr).toBe("");
  expect(status).toBe(0);
});
