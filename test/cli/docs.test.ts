// docs/cli.md tells of every command, every option and every exit code.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { commands } from "../../src/cli/commands.ts";
import { createProgram, EXIT } from "../../src/cli/program.ts";

const guide = readFileSync("docs/cli.md", "utf8");
const program = createProgram(commands, "0.0.0");

describe("docs/cli.md", () => {
  it.each(program.commands.map((command) => [command.name(), command] as const))("explains %s", (name, command) => {
    const section = guide.split(/^## /m).find((text) => text.startsWith(`hybraid ${name}\n`));
    expect(section, `section "## hybraid ${name}"`).toBeDefined();
    expect(section, "an example").toContain(`\nhybraid ${name} `);
    for (const option of command.options) expect(section).toContain(option.long);
  });

  it("lists the exit codes", () => {
    const listed = [...guide.matchAll(/^\| (\d+) \|/gm)].map((match) => Number(match[1]));
    expect(listed).toEqual(Object.values(EXIT));
  });
});
