// The report as one HTML page that needs nothing else: block diagram, figures, and curves of memory and work against the
// context for the model and for the same model with attention only.
import { escapeXml, type LinePlot, linePlot } from "../plot/line-plot.ts";
import { formatNumber } from "../plot/ticks.ts";
import type { ArchitectureSpec } from "../spec/types.ts";
import { attentionOnly, equalAttention } from "./attention-only.ts";
import { stackDiagram } from "./diagram.ts";
import {
  type ContextReport,
  createEstimator,
  type Estimator,
  type Inspection,
  inspectWith,
  usualContexts,
} from "./inspect.ts";
import { formatPositions, groupLayers } from "./stack.ts";

const STYLE = `
:root{color-scheme:light dark;--paper:#f6f8fa;--card:#fff;--ink:#24292f;--quiet:#57606a;--edge:#d9dee3}
@media (prefers-color-scheme:dark){:root{--paper:#010409;--card:#0d1117;--ink:#e6edf3;--quiet:#9aa4ae;--edge:#2b323b}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1320px;margin:0 auto;padding:32px 24px 64px}h1{margin:0;font-size:28px}h2{font-size:17px;margin:32px 0 12px}
p{margin:4px 0;color:var(--quiet)}code{font:13px ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:24px 0}
.card{background:var(--card);border:1px solid var(--edge);border-radius:10px}.figures .card{padding:12px 16px}
.figures b{display:block;font-size:22px;line-height:1.3}.figures span{color:var(--quiet);font-size:13px}
.columns{display:grid;grid-template-columns:minmax(0,auto) minmax(0,1fr);gap:20px;align-items:start}
.columns>*{min-width:0}.stack{padding:12px;text-align:center}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,350px),1fr));gap:16px}.plots .card{padding:6px;overflow:hidden}
svg{max-width:100%;height:auto;display:block;margin:auto}
.table{overflow-x:auto;padding:4px 12px}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--edge)}th{font-weight:600;color:var(--quiet);font-size:13px}
tr:last-child td{border-bottom:0}th:first-child,td:first-child,th.left,td.left{text-align:left}
@media (max-width:900px){.columns{grid-template-columns:minmax(0,1fr)}}`;

const bytes = (value: number): string => formatNumber(value, "bytes");
const metric = (value: number): string => formatNumber(value, "metric");
const context = (value: number): string => formatNumber(value, "length");

/** Contexts along the curves: powers of two up to a million, as far as learned positions reach. */
function curveContexts(spec: ArchitectureSpec): number[] {
  const limit = spec.positions?.max_length ?? Number.POSITIVE_INFINITY;
  const powers = Array.from({ length: 14 }, (_, i) => 2 ** (7 + i)).filter((length) => length <= limit);
  return powers.length > 1 ? powers : [Math.max(1, limit >> 1), limit];
}

/** Curves of the model and of its peer, from the graphs of both. */
function curves(own: Estimator, peer: Estimator): string[] {
  const contexts = curveContexts(own.spec);
  const [ours, theirs] = [own, peer].map((estimator) => contexts.map((length) => estimator.at(length)));
  const line = (reports: readonly ContextReport[] | undefined, value: (report: ContextReport) => number) =>
    (reports ?? []).map((report) => [report.context, value(report)] as const);
  const both = (value: (report: ContextReport) => number): LinePlot["series"] => [
    { name: own.spec.name, points: line(ours, value), dots: true },
    { name: "attention only", points: line(theirs, value), dots: true },
  ];
  const plot = (one: Pick<LinePlot, "title" | "subtitle" | "yLabel" | "series" | "yFormat">): string =>
    linePlot({
      ...one,
      xLabel: "context (tokens)",
      xScale: "log2",
      xFormat: "length",
      yScale: one.yFormat === "bytes" ? "log2" : "log",
      width: 480,
      height: 320,
    });
  const weights = own.at(contexts[0] ?? 1).training_memory.parameters / 4;
  return [
    plot({
      title: "State",
      subtitle: "kept between tokens for each sequence; dashed: the weights",
      yLabel: "bytes",
      yFormat: "bytes",
      series: [
        ...both((report) => report.state.total),
        { name: "", points: contexts.map((length) => [length, weights] as const), style: "dashed", colour: 5 },
      ],
    }),
    plot({
      title: "Decoding",
      subtitle: "for the next token after a context",
      yLabel: "FLOPs per token",
      yFormat: "metric",
      series: both((report) => report.flops_per_token.decode),
    }),
    plot({
      title: "Prefill",
      subtitle: "reading a prompt, per token",
      yLabel: "FLOPs per token",
      yFormat: "metric",
      series: both((report) => report.flops_per_token.prefill),
    }),
    plot({
      title: "Training",
      subtitle: "forward and backward pass, per token",
      yLabel: "FLOPs per token",
      yFormat: "metric",
      series: both((report) => report.flops_per_token.training),
    }),
    plot({
      title: "Memory traffic of decoding",
      subtitle: "weights, state and values in flight for one token",
      yLabel: "bytes per token",
      yFormat: "bytes",
      series: both((report) => report.decode_bytes),
    }),
    plot({
      title: "Memory for training",
      subtitle: "weights, gradients, AdamW and activations of one sequence",
      yLabel: "bytes",
      yFormat: "bytes",
      series: both((report) => report.training_memory.total),
    }),
  ];
}

/** Cells are text; columns listed in `left` are left-aligned, like the first. */
function table(header: readonly string[], rows: readonly (readonly string[])[], left: readonly number[] = []): string {
  const row = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell, i) => `<${tag}${left.includes(i) ? ' class="left"' : ""}>${escapeXml(cell)}</${tag}>`).join("")}</tr>`;
  return `<div class="card table"><table><thead>${row(header, "th")}</thead><tbody>${rows.map((cells) => row(cells, "td")).join("")}</tbody></table></div>`;
}

function layerTable(spec: ArchitectureSpec, report: Inspection): string {
  const rows = groupLayers(spec.layers).map((group) => {
    const members = group.flatMap((layer) => report.layers[layer.index] ?? []);
    const [first] = members;
    const mean = (value: (layer: Inspection["layers"][number]) => number): number =>
      members.reduce((sum, layer) => sum + value(layer), 0) / Math.max(1, members.length);
    return [
      formatPositions(group.map((layer) => layer.index)),
      first?.block ?? "",
      `${first?.operators.join(" + ") ?? ""}${first?.shared === null ? "" : ", shared"}`,
      metric(first?.parameters ?? 0),
      metric(mean((layer) => layer.flops_per_token.training)),
      metric(mean((layer) => layer.flops_per_token.prefill)),
      metric(mean((layer) => layer.flops_per_token.decode)),
      bytes(first?.state.total ?? 0),
    ];
  });
  return table(["layers", "block", "type", "parameters", "training", "prefill", "decode", "state"], rows, [1, 2]);
}

function contextTable(contexts: readonly ContextReport[]): string {
  const rows = contexts.map((report) => [
    context(report.context),
    metric(report.flops_per_token.training),
    metric(report.flops_per_token.prefill),
    metric(report.flops_per_token.decode),
    bytes(report.state.ssm),
    bytes(report.state.convolution),
    bytes(report.state.kv_cache),
    bytes(report.state.total),
    bytes(report.training_memory.total),
  ]);
  const header = [
    "context",
    "training",
    "prefill",
    "decode",
    "SSM",
    "convolution",
    "KV cache",
    "state",
    "training memory",
  ];
  return table(header, rows);
}

/** A whole page, `<!doctype html>` to `</html>`. Contexts of the tables as in {@link inspectWith}. */
export function inspectionPage(spec: ArchitectureSpec, contexts: readonly number[] = []): string {
  const own = createEstimator(spec);
  const peer = createEstimator(attentionOnly(spec));
  const report = inspectWith(own, contexts.length > 0 ? contexts : usualContexts(spec));
  const [first] = report.contexts;
  const last = report.contexts.at(-1);
  const attention = equalAttention(spec);
  const { total, active } = report.parameters;
  const used = active < total ? `${metric(active)} for each token, ` : "";
  const peerState = peer.at(last?.context ?? 1).state.total;
  const figures: readonly (readonly [string, string])[] = [
    [metric(total), `parameters, ${used}${bytes(4 * total)} as float32`],
    [`${spec.layers.length}`, `layers, d_model ${spec.d_model}`],
    [
      bytes(last?.state.total ?? 0),
      `state at ${context(last?.context ?? 0)} tokens; ${bytes(peerState)} with attention only`,
    ],
    [metric(first?.flops_per_token.training ?? 0), `FLOPs per token, training at ${context(first?.context ?? 0)}`],
    [metric(first?.flops_per_token.decode ?? 0), `FLOPs per token, decoding at ${context(first?.context ?? 0)}`],
  ];
  const shares = report.parameters.parts.map(({ part, parameters }) => [
    part,
    parameters.toLocaleString("en-US"),
    `${((100 * parameters) / report.parameters.total).toFixed(1)}%`,
  ]);
  const percent = (share: number): string => (share === 0 ? "" : `${(100 * share).toFixed(1)}%`);
  const ops = report.ops
    .filter((op) => Math.max(op.training, op.prefill, op.decode) >= 0.0005)
    .map((op) => [op.op, percent(op.training), percent(op.prefill), percent(op.decode)]);
  const kv = attention.n_kv_heads === attention.n_heads ? "" : ` over ${attention.n_kv_heads} key-value heads`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeXml(spec.name)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeXml(spec.name)}</h1>
<p>${escapeXml(spec.description)}</p>
<p><code>${escapeXml(report.pattern)}</code></p>
<div class="figures">${figures.map(([value, what]) => `<div class="card"><b>${escapeXml(value)}</b><span>${escapeXml(what)}</span></div>`).join("")}</div>
<div class="columns">
<div class="card stack">${stackDiagram(spec)}</div>
<div>
<div class="plots">${curves(own, peer)
    .map((svg) => `<div class="card">${svg}</div>`)
    .join("")}</div>
<p>Attention only: the same model with every mixer replaced by full attention with ${attention.n_heads} heads of ${attention.head_dim}${kv}.
A multiply-add counts 2 FLOPs, values are float32, and sizes are for one sequence.</p>
</div>
</div>
<h2>By context</h2>
${contextTable(report.contexts)}
<h2>Layers, each at ${context(first?.context ?? 0)} tokens</h2>
${layerTable(spec, report)}
<h2>Parameters</h2>
${table(["part", "parameters", "share"], shares)}
<h2>Share of FLOPs by op at ${context(first?.context ?? 0)} tokens</h2>
${table(["op", "training", "prefill", "decode"], ops)}
</main>
</body>
</html>
`;
}
