// Tables of goals and measurements for docs/performance.md, between its markers.
import { type Goal, gpuGoals, kernelGoals, modelGoals, onnxGoals, trainingGoals } from "./goals.ts";

export interface BenchmarkResult {
  readonly machine: { readonly cpu?: string; readonly threads: number; readonly node: string };
  readonly sections: readonly {
    readonly title: string;
    readonly work?: number;
    readonly unit?: string;
    readonly timings: readonly { readonly name: string; readonly median: number; readonly best: number }[];
  }[];
  readonly date?: string;
  /** Processes that wanted the machine before the run began. */
  readonly load?: number;
}

export type Results = Record<string, BenchmarkResult>;

type Section = BenchmarkResult["sections"][number];

/** Rates and ratios as a reader wants them: three digits, no more than are true. */
function figure(value: number): string {
  if (value >= 1000) return String(Math.round(value / 10) * 10).replace(/(\d)(\d{3})$/, "$1,$2");
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function measure(
  { ours, than }: Goal,
  section: Section,
): { readonly median: number; readonly best: number } | undefined {
  const own = section.timings.find(({ name }) => name === ours);
  if (own === undefined) return undefined;
  if (than === undefined) {
    const work = section.work ?? Number.NaN;
    return { median: work / own.median, best: work / own.best };
  }
  const other = section.timings.find(({ name }) => name.startsWith(than));
  return other === undefined ? undefined : { median: other.median / own.median, best: other.best / own.best };
}

function row(goal: Goal, results: Results): string {
  const section = results[goal.benchmark]?.sections.find(({ title }) => title.startsWith(goal.section));
  const measured = section === undefined ? undefined : measure(goal, section);
  const target = `${figure(goal.least)} ${goal.unit}`;
  if (measured === undefined) return `| ${goal.goal} | ${target} | not measured | | |`;
  const { median, best } = measured;
  const missed = Math.round(100 * (1 - median / goal.least));
  const verdict = median >= goal.least ? "met" : `missed by ${Math.max(1, missed)} %`;
  return `| ${goal.goal} | ${target} | ${figure(median)} | ${figure(best)} | ${verdict} |`;
}

function goalTable(goals: readonly Goal[], results: Results): string {
  const head = "| | goal | median | best | |\n|---|---|---|---|---|";
  return `${head}\n${goals.map((goal) => row(goal, results)).join("\n")}`;
}

/** Every contender of the sections of a benchmark, with its rate. */
function rateTable(name: string, results: Results, chosen: (section: Section) => boolean = () => true): string {
  const sections = (results[name]?.sections ?? []).filter(chosen);
  const lines = sections.flatMap(({ title, work = Number.NaN, timings }) =>
    timings.map(({ name: contender, median, best }, i) => {
      const rates = `${figure(work / median)} | ${figure(work / best)}`;
      return `| ${i === 0 ? title : ""} | ${contender} | ${rates} |`;
    }),
  );
  const unit = sections[0]?.unit ?? "work";
  return `| | | ${unit}/s, median | best |\n|---|---|---|---|\n${lines.join("\n")}`;
}

function machineLine(results: Results): string {
  const lines = Object.entries(results).map(([name, { machine, date, load = 0 }]) => {
    const { cpu = "unknown processor", threads, node } = machine;
    return `- ${name}: ${date ?? "no date"}, ${cpu}, ${threads} cores, Node ${node}; load before the run ${load.toFixed(1)}`;
  });
  return lines.join("\n");
}

/** The page with every `<!-- measured:NAME -->…<!-- end -->` filled in. */
export function renderPage(page: string, results: Results): string {
  const parts: Readonly<Record<string, () => string>> = {
    machine: () => machineLine(results),
    kernels: () => goalTable(kernelGoals, results),
    gpu: () => goalTable(gpuGoals, results),
    models: () => goalTable(modelGoals, results),
    "model-rates": () => rateTable("models", results),
    "onnx-export": () => goalTable(onnxGoals, results),
    "onnx-export-rates": () => rateTable("onnx-export", results, ({ unit }) => unit === "tokens"),
    training: () => goalTable(trainingGoals, results),
    "training-rates": () => rateTable("training", results),
  };
  return page.replace(/<!-- measured:([a-z-]+) -->[\s\S]*?<!-- end -->/g, (_, name: string) => {
    const part = parts[name];
    if (part === undefined)
      throw new Error(`docs/performance.md asks for "${name}"; there are ${Object.keys(parts).join(", ")}`);
    return `<!-- measured:${name} -->\n${part()}\n<!-- end -->`;
  });
}
