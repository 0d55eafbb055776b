// Every file in test/fixtures/spec/bad/ is refused with exactly the text beside it. After a change of wording: npx vitest run test/spec -u
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { formatDiagnostics, SpecError } from "../../src/spec/diagnostic.ts";
import { checkSpec, loadSpec } from "../../src/spec/load.ts";
import { checkSpecFile, loadSpecFile } from "../../src/spec/node/files.ts";

const FOLDER = "test/fixtures/spec/bad/";
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml"));

describe("a bad file", () => {
  test.each(files)("%s is refused with the message beside it", async (name) => {
    const { spec, diagnostics } = checkSpecFile(FOLDER + name);
    expect(spec).toBeUndefined();
    expect(diagnostics.some((diagnostic) => diagnostic.severity === "error")).toBe(true);
    const text = `${formatDiagnostics(diagnostics).replaceAll(FOLDER, "")}\n`;
    await expect(text).toMatchFileSnapshot(`../fixtures/spec/bad/${name.replace(/yaml$/, "txt")}`);
  });

  test("there are many of them, and no message is left over", () => {
    expect(files.length).toBeGreaterThan(140);
    const texts = readdirSync(FOLDER).filter((name) => name.endsWith(".txt"));
    expect(texts.map((name) => name.replace(/txt$/, "yaml"))).toEqual(files);
  });

  test("an error points at the character that is wrong", () => {
    const { diagnostics } = checkSpecFile(`${FOLDER}crlf.yaml`);
    expect(diagnostics).toEqual([
      {
        severity: "error",
        file: `${FOLDER}crlf.yaml`,
        line: 5,
        column: 21,
        length: 5,
        path: "blocks.M.mixer.type",
        message: '"mamab" is not a mixer',
        hint: 'did you mean "mamba"?',
        text: "  M: {mixer: {type: mamab}}",
      },
    ]);
  });

  test("loading throws one SpecError with all of it", () => {
    const load = () => loadSpecFile(`${FOLDER}everything-at-once.yaml`);
    expect(load).toThrow(SpecError);
    try {
      load();
    } catch (error) {
      expect(error).toBeInstanceOf(SpecError);
      if (error instanceof SpecError) expect(error.diagnostics).toHaveLength(10);
    }
  });

  test("one that is not there says so", () => {
    const { diagnostics } = checkSpecFile("no/such/file.yaml");
    expect(formatDiagnostics(diagnostics)).toBe("no/such/file.yaml  cannot be read: no such file");
  });

  test("extends needs a way to find files", () => {
    expect(() => loadSpec("extends: other.yaml\nname: x\n")).toThrow("other files cannot be read from here");
  });

  test("terminal escapes in a file do not reach the terminal", () => {
    const { diagnostics } = checkSpec('name: "\\e[31m"\nd_model: "\u001b[2J"\n');
    expect(formatDiagnostics(diagnostics)).not.toContain("\u001b");
  });

  test("an alias bomb is refused without being unfolded", () => {
    // Ten to the thirtieth values: this test would never end.
    const levels = Array.from(
      { length: 30 },
      (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(", ")}]`,
    );
    const { diagnostics } = checkSpec(["a0: &a0 x", ...levels].join("\n"));
    expect(formatDiagnostics(diagnostics)).toContain("more than 50000 values");
  });
});
