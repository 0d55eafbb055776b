// What every benchmark shares: contenders take turns within one process, so that a disturbance of the machine meets all of
// them; medians are reported, and each contender's rate beside the ratio of ours to it. `--json <file>` keeps the samples.
import { writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

export interface Contender {
  readonly name: string;
  /** One execution, complete when it returns or its promise resolves. */
  run(): unknown;
}

export interface Timing {
  readonly name: string;
  /** Seconds of one execution: the median over the rounds, and the best. */
  readonly median: number;
  readonly best: number;
  /** Mean seconds of one execution in each round. */
  readonly samples: readonly number[];
}

export interface RaceOptions {
  /** Turns of each contender. Default 9. */
  readonly rounds?: number;
  /** Least seconds of one turn: short executions are repeated. Default 0.04. */
  readonly turn?: number;
  /** Executions of one turn, for those that last long: then nothing is repeated to find out, and none is left out. */
  readonly repeats?: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Seconds of `count` executions. A synchronous contender is not slowed by an await. */
async function time(contender: Contender, count: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    const pending = contender.run();
    if (pending instanceof Promise) await pending;
  }
  return (performance.now() - start) / 1000;
}

/**
 * Times contenders in turns, the first one of a round rotating. Before the first round each is warmed up, which also finds
 * how often it runs in a turn. Between turns there is a pause in which thread pools stop spinning.
 */
export async function race(contenders: readonly Contender[], options: RaceOptions = {}): Promise<Timing[]> {
  const { rounds = 9, turn = 0.04, repeats } = options;
  const entries: { readonly contender: Contender; readonly count: number; readonly samples: number[] }[] = [];
  for (const contender of contenders) {
    await time(contender, repeats === undefined ? 2 : 1);
    let count = repeats ?? 1;
    for (let spent = 0; repeats === undefined; ) {
      spent = await time(contender, count);
      if (spent >= turn) break;
      count = Math.ceil(count * Math.min(10, (1.2 * turn) / Math.max(spent, 1e-6)));
    }
    entries.push({ contender, count, samples: [] });
  }
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[(i + round) % entries.length];
      if (entry === undefined) continue;
      await sleep(10);
      if (repeats === undefined) await time(entry.contender, 1);
      entry.samples.push((await time(entry.contender, entry.count)) / entry.count);
    }
  }
  return entries.map(({ contender, samples }) => ({
    name: contender.name,
    median: median(samples),
    best: Math.min(...samples),
    samples,
  }));
}

export interface Section {
  readonly title: string;
  /** What one execution does, in `unit`: e.g. 2.1 GFLOP with unit "GFLOP", 0.15 with "GB". */
  readonly work?: number;
  readonly unit?: string;
  readonly timings: readonly Timing[];
}

const milliseconds = (seconds: number) =>
  seconds < 0.001 ? `${(seconds * 1e6).toFixed(1)} µs` : `${(seconds * 1e3).toFixed(2)} ms`;

const ratio = (theirs: number, ours: number) => `${(theirs / ours).toFixed(2)} ×`;

/** Lines of a table whose columns are aligned, the first to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  ");
  return rows.map((row) => `  ${line(row).trimEnd()}`).join("\n");
}

/** Collects the sections of one benchmark, prints each as it comes, and writes all of them as JSON at the end. */
export class Report {
  private readonly sections: Section[] = [];
  readonly name: string;

  constructor(name: string) {
    this.name = name;
    const cpu = cpus()[0]?.model ?? "unknown CPU";
    console.log(`${name}: ${cpu}, ${availableParallelism()} threads, Node ${process.version}\n`);
  }

  /** Prints a section: the first timing is ours; the last columns say how much faster than each of the others it is. */
  add(section: Section): void {
    this.sections.push(section);
    const { title, work, unit, timings } = section;
    const ours = timings[0];
    const header = ["", "median", "best", ...(work === undefined ? [] : [`${unit}/s`]), "ours is", "by best"];
    const rows = timings.map(({ name, median: seconds, best }, i) => [
      name,
      milliseconds(seconds),
      milliseconds(best),
      ...(work === undefined ? [] : [(work / seconds).toFixed(1)]),
      ...(i === 0 || ours === undefined ? [] : [ratio(seconds, ours.median), ratio(best, ours.best)]),
    ]);
    console.log(`${title}\n${formatTable([header, ...rows])}\n`);
  }

  /** Writes what was measured to the file named after `--json` on the command line, if there is one. */
  finish(): void {
    const at = process.argv.indexOf("--json");
    const file = at < 0 ? undefined : process.argv[at + 1];
    if (file === undefined) return;
    const machine = { cpu: cpus()[0]?.model, threads: availableParallelism(), node: process.version };
    writeFileSync(file, `${JSON.stringify({ benchmark: this.name, machine, sections: this.sections }, null, 2)}\n`);
  }
}
