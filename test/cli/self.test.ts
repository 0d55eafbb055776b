// What the program tells people to type.
import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { shellQuote } from "../../src/cli/self.ts";

it.each(["runs/a-b", "two words", "it's", "interface ", "\n", "a\t'b'\\\n\u0007", '日本 $HOME `ls` "x"', ""])(
  "a shell takes %j for what it is, from one line",
  (text) => {
    const quoted = shellQuote(text);
    expect(quoted).not.toMatch(/\p{Cc}/u);
    expect(spawnSync("bash", ["-c", `printf %s ${quoted}; printf .`], { encoding: "utf8" }).stdout).toBe(`${text}.`);
  },
);
