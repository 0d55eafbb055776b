// The frame of the command line: options that every command has, how errors are printed, and what exit codes mean.
import { Command, CommanderError } from "commander";
import picocolors from "picocolors";

/** Adds a command to the program. */
export type Register = (program: Command) => void;

export const EXIT = {
  ok: 0,
  /** A file, its contents, the data or an option's value is at fault. */
  input: 1,
  /** The command line itself is at fault. */
  usage: 2,
  /** A bug. */
  internal: 3,
  /** Ctrl-C; 128 + SIGINT, as shells have it. */
  interrupted: 130,
} as const;

const EXIT_CODES = `
Exit codes:
  0    all is well
  1    the input is at fault: a file, its contents, the data, or the value of an option
  2    the command line is at fault: an unknown command or option, a missing argument
  3    a bug in hybraid
  130  interrupted (Ctrl-C)

Colours are left out where NO_COLOR is set or output is not a terminal.`;

/** A value on the command line that can't be used; printed without a stack trace. */
export class InputError extends Error {
  override name = "InputError";
}

/** Errors whose message says all that a user needs. */
const EXPECTED: ReadonlySet<string> = new Set([
  "InputError",
  "SpecError",
  "ModelError",
  "DataError",
  "RuntimeError",
  "SafetensorsError",
  "FileWriteError",
  "CheckpointError",
  "MetricsError",
  "DivergedError",
  "GraphError",
  "HuggingFaceError",
  "OnnxError",
  "FolderExistsError",
]);

/** The exit code that an error stands for. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof Error)) return EXIT.internal;
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error.name === "AbortError") return EXIT.interrupted;
  // A trap in WebAssembly has the name of an error of ours, but is a bug.
  if (error instanceof WebAssembly.RuntimeError) return EXIT.internal;
  const isSystemError = "syscall" in error && "code" in error;
  return EXPECTED.has(error.name) || isSystemError ? EXIT.input : EXIT.internal;
}

/** What is printed for an error: its message, and the stack trace only where it was asked for or may help to mend a bug. */
export function describeError(error: unknown, isVerbose: boolean): string {
  const code = exitCodeOf(error);
  if (code === EXIT.interrupted) return "interrupted";
  if (!(error instanceof Error)) return `${picocolors.red("error:")} ${String(error)}`;
  const what = code === EXIT.internal ? "internal error:" : "error:";
  // What is wrong with a file is a list in which each line names its place.
  const message = error.name === "SpecError" ? error.message : `${picocolors.red(what)} ${error.message}`;
  if (isVerbose) return `${message}\n${error.stack ?? ""}${causeOf(error)}`;
  return code === EXIT.internal ? `${message}\nThis is a bug in hybraid; --verbose shows where it happened.` : message;
}

function causeOf(error: Error): string {
  if (!(error.cause instanceof Error)) return "";
  return `\ncaused by ${error.cause.stack ?? error.cause.message}`;
}

/** The program with all its commands, ready to parse. */
export function createProgram(commands: readonly Register[], version: string): Command {
  const program = new Command("hybraid")
    .description("Design, train, run and export hybrid attention + state-space models from a YAML file.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("--verbose", "print stack traces with errors")
    .addHelpText("after", EXIT_CODES)
    .showHelpAfterError("(--help says what is allowed)")
    .exitOverride();
  for (const register of commands) register(program);
  return program;
}

/** Lets `hybraid … | head` end quietly: who reads no more has what was wanted. */
function endWhenNobodyReads(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(process.exitCode ?? EXIT.ok);
      throw error;
    });
  }
}

/**
 * Runs the command line and returns the exit code. Output goes to stdout, errors to stderr. A command fails by throwing, or
 * by setting `process.exitCode` where it has printed what is wrong itself.
 */
export async function runCommandLine(
  commands: readonly Register[],
  args: readonly string[],
  version: string,
): Promise<number> {
  const program = createProgram(commands, version);
  try {
    await program.parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    // Commander has printed its own errors already.
    if (!(error instanceof CommanderError)) {
      process.stderr.write(`${describeError(error, program.opts<{ verbose?: boolean }>().verbose === true)}\n`);
    }
    return exitCodeOf(error);
  }
}

/** {@link runCommandLine} for the process itself. */
export async function main(commands: readonly Register[], version: string): Promise<void> {
  endWhenNobodyReads();
  process.exitCode = await runCommandLine(commands, process.argv.slice(2), version);
}
