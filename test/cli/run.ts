// Runs the command line in this process, or as the process that a user would start.
import { spawnSync } from "node:child_process";
import { vi } from "vitest";
import { type Register, runCommandLine } from "../../src/cli/program.ts";

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

/** In this process, with only these commands. */
export async function runHere(commands: readonly Register[], ...args: string[]): Promise<Ran> {
  const written = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((stream) =>
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      written[stream] += String(text);
      return true;
    }),
  );
  process.exitCode = 0;
  try {
    const code = await runCommandLine(commands, args, "1.2.3");
    return { ...written, code };
  } finally {
    process.exitCode = 0;
    for (const spy of spies) spy.mockRestore();
  }
}

/** A shell command in which `hybraid` is the program. */
export function runInShell(command: string, environment: Readonly<Record<string, string>> = {}): Ran {
  const program = `'${process.execPath}' --import tsx src/cli/main.ts`;
  const { stdout, stderr, status } = spawnSync(
    "bash",
    ["-o", "pipefail", "-c", command.replaceAll("hybraid", program)],
    {
      encoding: "utf8",
      env: { ...process.env, ...environment },
    },
  );
  return { stdout, stderr, code: status ?? -1 };
}
