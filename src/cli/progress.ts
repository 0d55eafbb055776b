// What is seen of a run while it trains: a live bar on a terminal, a line now and then elsewhere.
import cliProgress from "cli-progress";
import picocolors from "picocolors";
import type { TrainingRecord } from "../train/metrics.ts";

/** Shows training steps as they come. */
export interface Progress {
  step(record: TrainingRecord, total: number | undefined): void;
  /** Prints a line that stays. */
  line(text: string): void;
  end(): void;
}

/** Seconds between lines where there is no terminal. */
const LINE_SECONDS = 10;
/** Steps over which speed and loss are averaged: they fall to 1/e after so many. */
const AVERAGED_STEPS = 20;

/** A running average that starts with the first value. */
class Average {
  #value: number | undefined;

  add(value: number): number {
    const keep = Math.exp(-1 / AVERAGED_STEPS);
    this.#value = this.#value === undefined ? value : keep * this.#value + (1 - keep) * value;
    return this.#value;
  }
}

/** Watches the speed and says what is shown of a step. */
class Meter {
  readonly #loss = new Average();
  readonly #secondsPerStep = new Average();
  #last: number | undefined;

  read(record: TrainingRecord, total: number | undefined, tokensPerStep: number): string {
    const { step, seconds } = record;
    const passed = this.#last === undefined ? tokensPerStep / record.tokens_per_second : seconds - this.#last;
    this.#last = seconds;
    const perStep = this.#secondsPerStep.add(passed);
    const loss = this.#loss.add(record.loss);
    const speed = Math.round(tokensPerStep / perStep).toLocaleString("en-US");
    const left = total === undefined ? "timing" : `${formatSeconds((total - step) * perStep)} left`;
    return `step ${step}/${total ?? "?"}  loss ${loss.toFixed(3)}  ${speed} tokens/s  ${left}`;
  }
}

/** `1:05` for 65 seconds, `1:02:05` from an hour on. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number): string => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/**
 * A bar where `stream` is a terminal, lines otherwise.
 * @param tokensPerStep tokens that one step consumes
 */
export function createProgress(stream: NodeJS.WriteStream, tokensPerStep: number): Progress {
  return stream.isTTY ? createBar(stream, tokensPerStep) : createLines(stream, tokensPerStep);
}

function createBar(stream: NodeJS.WriteStream, tokensPerStep: number): Progress {
  const meter = new Meter();
  const bars = new cliProgress.MultiBar({
    stream,
    format: `{bar}  {text}`,
    barCompleteChar: "━",
    barIncompleteChar: "─",
    barsize: Math.max(8, Math.min(30, (stream.columns ?? 80) - 62)),
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    gracefulExit: false,
    linewrap: false,
    formatBar: (progress, options) => {
      const done = Math.round(progress * (options.barsize ?? 0));
      const [full, empty] = [options.barCompleteString ?? "", options.barIncompleteString ?? ""];
      return `${picocolors.cyan(full.slice(0, done))}${picocolors.dim(empty.slice(done, options.barsize))}`;
    },
  });
  const bar = bars.create(1, 0, { text: "" });
  return {
    step: (record, total) => {
      if (total !== undefined) bar.setTotal(total);
      bar.update(total === undefined ? 0 : record.step, { text: meter.read(record, total, tokensPerStep) });
    },
    line: (text) => {
      bars.log(`${text}\n`);
      bars.update();
    },
    end: () => bars.stop(),
  };
}

function createLines(stream: NodeJS.WriteStream, tokensPerStep: number): Progress {
  const meter = new Meter();
  let printed = Number.NEGATIVE_INFINITY;
  return {
    step: (record, total) => {
      const text = meter.read(record, total, tokensPerStep);
      if (record.seconds - printed < LINE_SECONDS && record.step !== total) return;
      printed = record.seconds;
      stream.write(`${text}\n`);
    },
    line: (text) => void stream.write(`${text}\n`),
    end: () => {},
  };
}
