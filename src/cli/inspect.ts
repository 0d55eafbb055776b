// hybraid inspect SPEC: what a model looks like and what it will cost, before any weight exists.
import { type Command, InvalidArgumentError } from "commander";
import picocolors from "picocolors";
import { writeFileAtomic } from "../formats/node/atomic-file.ts";
import type { Paint } from "../inspect/boxes.ts";
import type { Family } from "../inspect/describe.ts";
import { type ContextReport, type Inspection, inspect, type LayerReport } from "../inspect/inspect.ts";
import { inspectionPage } from "../inspect/page.ts";
import { drawStack } from "../inspect/picture.ts";
import { formatPositions, groupLayers } from "../inspect/stack.ts";
import { formatNumber } from "../plot/ticks.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { openArchitecture } from "./architecture.ts";
import { formatTable, terminalWidth } from "./table.ts";

interface InspectOptions {
  readonly context?: number[];
  readonly json?: boolean;
  readonly html?: string;
}

/** Adds the command to the program. */
export function register(program: Command): void {
  program
    .command("inspect")
    .description("show the layers of a model, its parameters, FLOPs and bytes of state, before any weight exists")
    .argument("<spec>", "architecture file (YAML), run file, saved model or run folder")
    .option(
      "-c, --context <tokens...>",
      "contexts to report on: 4096, 4K, 1M; layers are shown at the first",
      parseContexts,
    )
    .option("--json", "print everything as JSON")
    .option("--html <file>", "write a page with the block diagram and curves against the context")
    .action(async (path: string, options: InspectOptions) => {
      const spec = openArchitecture(path);
      const report = inspect(spec, { contexts: options.context });
      if (options.html !== undefined) {
        const page = new TextEncoder().encode(inspectionPage(spec, options.context));
        await writeFileAtomic(options.html, (sink) => sink.write(page));
      }
      if (options.json === true) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
      else process.stdout.write(`${inspectionText(spec, report, terminalWidth())}\n`);
      if (options.html !== undefined) process.stderr.write(`wrote ${options.html}\n`);
    });
}

/** `4096`, `4K` (4096) or `1M` (1048576), several of them separated by commas; called once for each argument. */
export function parseContexts(text: string, earlier: readonly number[] = []): number[] {
  const contexts = text.split(",").map((part) => {
    const [, digits, unit = ""] = /^(\d+)([kKmM]?)$/.exec(part.trim()) ?? [];
    const value = Number(digits) * 1024 ** ["", "k", "m"].indexOf(unit.toLowerCase());
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new InvalidArgumentError(`"${part}" is not a number of tokens; allowed: 1 or more, such as 4096 or 4K.`);
    }
    return value;
  });
  return [...earlier, ...contexts];
}

const colours: { readonly [F in Family]: Paint } = {
  ssm: picocolors.blue,
  linear_attention: picocolors.green,
  attention: picocolors.yellow,
  rnn: picocolors.magenta,
  ffn: picocolors.dim,
};

const bytes = (value: number): string => (value === 0 ? "0" : formatNumber(value, "bytes"));
const metric = (value: number): string => formatNumber(value, "metric");
const tokens = (value: number): string => formatNumber(value, "length");
const percent = (share: number): string => (share === 0 ? "" : `${(100 * share).toFixed(1)}%`);

/** The whole report as text, no line wider than `width` where that is possible. */
export function inspectionText(spec: ArchitectureSpec, report: Inspection, width: number): string {
  const title = (text: string): string => picocolors.bold(text);
  const [first] = report.contexts;
  const at = tokens(first?.context ?? 0);
  const picture = drawStack(spec, { width: width - 2, colour: (family) => colours[family], faint: picocolors.dim });
  const { total, active } = report.parameters;
  const used = active < total ? `, ${metric(active)} of them for each token` : "";
  const head = `${report.name}: ${metric(total)} parameters (${total.toLocaleString("en-US")})${used}, ${bytes(report.parameters.bytes)} as float32`;
  const description = report.description === "" ? [] : [report.description];
  return [
    [title(head), ...description, picocolors.dim(report.pattern)].join("\n"),
    picture.map((line) => `  ${line}`).join("\n"),
    `${title(`Layers`)}, each with FLOPs per token and state at ${at} tokens\n${layerTable(spec, report, width)}`,
    `${title("Parameters")}\n${parameterTable(report)}`,
    `${title("By context")}, for one sequence\n${contextTables(report.contexts, width)}`,
    `${title("Share of FLOPs by op")} at ${at} tokens\n${opTable(report)}`,
  ].join("\n\n");
}

/** Column of parameters that one token uses: only shown where they are not all. */
const ACTIVE = 4;

function layerTable(spec: ArchitectureSpec, report: Inspection, width: number): string {
  const flops = (kind: "training" | "prefill" | "decode", members: readonly LayerReport[]): string =>
    metric(members.reduce((sum, layer) => sum + layer.flops_per_token[kind], 0) / Math.max(1, members.length));
  const rows = groupLayers(spec.layers).map((group) => {
    const members = group.flatMap((layer) => report.layers[layer.index] ?? []);
    const [layer] = members;
    const type = layer?.operators.join(" + ") ?? "";
    const active = layer?.active_parameters ?? 0;
    return [
      formatPositions(group.map((one) => one.index)),
      layer?.block ?? "",
      layer?.shared === null ? type : `${type}, shared`,
      metric(layer?.parameters ?? 0),
      active < (layer?.parameters ?? 0) ? metric(active) : "",
      flops("training", members),
      flops("prefill", members),
      flops("decode", members),
      bytes(layer?.state.total ?? 0),
    ];
  });
  const { outside } = report;
  rows.push([
    "",
    "",
    "embedding, head",
    metric(outside.parameters),
    "",
    metric(outside.flops_per_token.training),
    metric(outside.flops_per_token.prefill),
    metric(outside.flops_per_token.decode),
    "",
  ]);
  const header = ["layers", "block", "type", "params", "active", "training", "prefill", "decode", "state"];
  // On a narrow terminal the block goes first, then prefill, decode and training: the others say most.
  const dropped = new Set<number>(report.parameters.active < report.parameters.total ? [] : [ACTIVE]);
  const draw = (): string => {
    const kept = <T>(row: readonly T[]): T[] => row.filter((_, i) => !dropped.has(i));
    const left = [0, 1, 2].filter((i) => !dropped.has(i)).map((_, i) => i);
    return formatTable(kept(header), rows.map(kept), left);
  };
  for (const column of [1, 6, 7, 5]) {
    if (widestLine(draw()) <= width) break;
    dropped.add(column);
  }
  return draw();
}

/** Columns of the widest line, colours not counted. */
function widestLine(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what colours are made of
  return Math.max(...text.split("\n").map((line) => [...line.replace(/\u001b\[\d+m/g, "")].length));
}

function parameterTable({ parameters }: Inspection): string {
  const rows = parameters.parts.map((part) => [
    part.part,
    part.parameters.toLocaleString("en-US"),
    percent(part.parameters / parameters.total),
  ]);
  return formatTable(
    ["part", "parameters", "share"],
    [...rows, ["total", parameters.total.toLocaleString("en-US"), ""]],
  );
}

type Row = readonly [name: string, value: ((report: ContextReport) => string) | undefined];

const CONTEXT_ROWS: readonly Row[] = [
  ["FLOPs per token", undefined],
  ["  training", (report) => metric(report.flops_per_token.training)],
  ["  prefill", (report) => metric(report.flops_per_token.prefill)],
  ["  decode", (report) => metric(report.flops_per_token.decode)],
  ["state", (report) => bytes(report.state.total)],
  ["  SSM, recurrent", (report) => bytes(report.state.ssm)],
  ["  convolution", (report) => bytes(report.state.convolution)],
  ["  KV cache", (report) => bytes(report.state.kv_cache)],
  ["memory for training", (report) => bytes(report.training_memory.total)],
  ["  weights × 4 (AdamW)", (report) => bytes(report.training_memory.parameters)],
  ["  activations", (report) => bytes(report.training_memory.activations)],
];

/** Contexts side by side, in as many tables as the width needs. */
function contextTables(contexts: readonly ContextReport[], width: number): string {
  const most = Math.max(1, Math.floor((width - 23) / 11));
  // As few tables as fit, equally wide.
  const columns = Math.ceil(contexts.length / Math.ceil(contexts.length / most));
  const tables: string[] = [];
  for (let start = 0; start < contexts.length; start += columns) {
    const shown = contexts.slice(start, start + columns);
    const rows = CONTEXT_ROWS.map(([name, value]) => [name, ...shown.map((report) => value?.(report) ?? "")]);
    tables.push(formatTable(["tokens", ...shown.map((report) => tokens(report.context))], rows));
  }
  return tables.join("\n\n");
}

function opTable({ ops }: Inspection): string {
  const shown = ops.filter((op) => Math.max(op.training, op.prefill, op.decode) >= 0.0005);
  const rows = shown.map((op) => [op.op, percent(op.training), percent(op.prefill), percent(op.decode)]);
  return formatTable(["op", "training", "prefill", "decode"], rows);
}
