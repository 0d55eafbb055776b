// How many steps a run has. A budget of minutes becomes a number of steps once some steps have been timed, and stays that
// number from then on: what a run computes then depends on it no more than on `steps`, and a resumed run ends where the
// run it continues would have ended.
import type { RunConfig } from "./config.ts";

/** Steps at the start of a session that are not timed: the first ones wait for compilers and caches. */
const UNTIMED_STEPS = 3;
/** Timed steps after which the number of steps is settled. */
const TIMED_STEPS = 10;
/** Share of the budget after which it is settled by however few steps there are. */
const MOST_TIMING = 0.1;
/** Time of a forward pass against that of a whole step. */
const FORWARD_SHARE = 0.35;

/** What evaluations cost, in batches. */
export interface EvaluationWork {
  /** Of every evaluation but the last. */
  readonly batches: number;
  /** Of the evaluation at the end of the run. */
  readonly lastBatches: number;
}

/** Turns timed steps into the number of steps of the run. */
export class StepBudget {
  readonly #config: RunConfig;
  readonly #evaluation: EvaluationWork;
  readonly #times: number[] = [];
  #total: number | undefined;

  /**
   * @param evaluation takes its share of the minutes
   * @param settled the number of steps where it is known from an earlier session
   */
  constructor(config: RunConfig, evaluation: EvaluationWork, settled?: number) {
    this.#config = config;
    this.#evaluation = evaluation;
    this.#total = "steps" in config.budget ? config.budget.steps : settled;
  }

  /** Steps of the whole run; undefined until it is settled. */
  get total(): number | undefined {
    return this.#total;
  }

  /**
   * Tells of a step that was done. Returns whether it settled the number of steps.
   *
   * @param step steps done, this one included
   * @param stepSeconds time of this step alone
   * @param runSeconds time of the run so far, over all sessions
   */
  timed(step: number, stepSeconds: number, runSeconds: number): boolean {
    const { budget } = this.#config;
    if (this.#total !== undefined || !("minutes" in budget)) return false;
    this.#times.push(stepSeconds);
    const seconds = 60 * budget.minutes;
    const enough = this.#times.length >= UNTIMED_STEPS + TIMED_STEPS || runSeconds >= MOST_TIMING * seconds;
    if (!enough) return false;
    // The lower median: what else the machine does now and then should not shorten the run.
    const timed = this.#times.slice(Math.min(UNTIMED_STEPS, this.#times.length - 1)).sort((a, b) => a - b);
    const typical = timed[(timed.length - 1) >> 1] ?? stepSeconds;
    const { accumulation, eval: evaluations } = this.#config;
    const forward = (FORWARD_SHARE * typical) / accumulation;
    const perStep = typical + (forward * this.#evaluation.batches) / evaluations.every;
    const left = Math.max(0, seconds - runSeconds - forward * this.#evaluation.lastBatches);
    this.#total = step + Math.floor(left / perStep);
    return true;
  }
}
