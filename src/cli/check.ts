// hybraid check FILES…: says whether architecture files are right, and all that is wrong where they are not.
import type { Command } from "commander";
import { patternOf } from "../spec/compress.ts";
import { type Diagnostic, formatDiagnostics } from "../spec/diagnostic.ts";
import { checkSpecFile } from "../spec/node/files.ts";

interface FileReport {
  readonly file: string;
  readonly ok: boolean;
  readonly name: string | null;
  readonly d_model: number | null;
  readonly vocab_size: number | null;
  /** Number of residual branches in the stack. */
  readonly layers: number | null;
  /** The stack as a pattern, repeats folded. */
  readonly pattern: string | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** Adds the command to the program. */
export function register(program: Command): void {
  program
    .command("check")
    .description("check architecture files and show the layers they stand for; exit code 1 if any is wrong")
    .argument("<files...>", "architecture files (YAML)")
    .option("--json", "print one JSON array, an object for each file")
    .action((files: string[], options: { json?: boolean }) => {
      const reports = files.map(checkFile);
      if (options.json === true) process.stdout.write(`${JSON.stringify(reports, null, 2)}\n`);
      else for (const report of reports) process.stdout.write(`${asText(report)}\n`);
      if (reports.some((report) => !report.ok)) process.exitCode = 1;
    });
}

/** Checks one file; a file that cannot be read is a report like any other. */
export function checkFile(file: string): FileReport {
  const { spec, diagnostics } = checkSpecFile(file);
  return {
    file,
    ok: spec !== undefined,
    name: spec?.name ?? null,
    d_model: spec?.d_model ?? null,
    vocab_size: spec?.vocab_size ?? null,
    layers: spec?.layers.length ?? null,
    pattern: spec === undefined ? null : patternOf(spec.layers),
    diagnostics,
  };
}

function asText(report: FileReport): string {
  const { file, ok, name, d_model, vocab_size, layers, pattern, diagnostics } = report;
  const problems = formatDiagnostics(diagnostics);
  if (!ok) {
    const errors = diagnostics.filter((diagnostic) => diagnostic.severity === "error").length;
    return `${problems}\n${file}: ${errors} ${errors === 1 ? "error" : "errors"}`;
  }
  const sizes = `d_model ${d_model}, vocab_size ${vocab_size}, ${layers} ${layers === 1 ? "layer" : "layers"}`;
  return `${problems === "" ? "" : `${problems}\n`}${file}: ok, ${name}: ${sizes}: ${pattern}`;
}
