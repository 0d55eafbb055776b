// A run: training steps with their schedule, evaluations, checkpoints, and an end. It decides when what happens; where
// records and checkpoints go is its sink's business, what is shown its observer's, so that it runs in a browser too.
import { type EvaluationWork, StepBudget } from "./budget.ts";
import { type Checkpoint, CheckpointError } from "./checkpoint.ts";
import type { RunConfig } from "./config.ts";
import { bitsPerByte, type RunData } from "./data.ts";
import type { EvaluationRecord, MetricsRecord, TrainingRecord } from "./metrics.ts";
import { learningRateFactor } from "./schedule.ts";
import { streamLoss } from "./stream-loss.ts";
import type { Trainer } from "./trainer.ts";

/** Where a run's records and checkpoints go. What it throws ends the run. */
export interface RunSink {
  record(record: MetricsRecord): Promise<void>;
  checkpoint(checkpoint: Checkpoint): Promise<void>;
}

/** What a run tells while it goes. */
export interface RunObserver {
  /** Before the first step: steps done already, and steps of the whole run where they are known. */
  begin?(step: number, total: number | undefined): void;
  step?(record: TrainingRecord, total: number | undefined): void;
  evaluation?(record: EvaluationRecord): void;
  /** A checkpoint is safely stored. */
  checkpoint?(step: number): void;
}

/** What a run keeps in its checkpoints beside weights, optimiser and data position. */
export interface RunProgress {
  readonly budget: RunConfig["budget"];
  /** Steps of the whole run; null while a budget of minutes is not settled. */
  readonly total_steps: number | null;
  /** Seconds over all sessions. */
  readonly seconds: number;
  /** Tokens that are trained on; null for tasks. Other data under the same name are noticed. */
  readonly training_tokens: number | null;
  /** The runtime in a line: another one gives other last bits. */
  readonly device: string;
}

/** What {@link runTraining} needs. */
export interface TrainingRun {
  readonly config: RunConfig;
  readonly trainer: Trainer;
  readonly data: RunData;
  readonly sink: RunSink;
  readonly observer?: RunObserver;
  /** Ends the run after the step that it is in, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Go on from here. */
  readonly checkpoint?: Checkpoint;
}

/** How a run ended. */
export interface RunOutcome {
  readonly status: "finished" | "interrupted";
  /** Steps done. */
  readonly step: number;
  readonly total: number | undefined;
  readonly seconds: number;
  /** The last evaluation; undefined where none was made in this session. */
  readonly evaluation: EvaluationRecord | undefined;
}

/** Milliseconds after which timers and signals get their turn. */
const LONGEST_TURN = 50;
/** Most held-out tokens that are read as one stream at the end. */
const MOST_STREAMED_TOKENS = 1 << 17;

/**
 * Trains until the budget is used up or the signal comes. Loss by loss, a run that is continued from a checkpoint gives
 * the bits that it would have given without the break.
 * @throws DivergedError, naming step and tensor; CheckpointError for a checkpoint of another model or other data;
 * whatever the sink throws. Checkpoints that were stored stay good.
 */
export async function runTraining(run: TrainingRun): Promise<RunOutcome> {
  const { config, trainer, data, sink, observer, signal } = run;
  const earlier = run.checkpoint === undefined ? undefined : resume(run, run.checkpoint);
  const sameBudget = JSON.stringify(earlier?.budget) === JSON.stringify(config.budget);
  const budget = new StepBudget(config, evaluationWork(run), (sameBudget && earlier?.total_steps) || undefined);
  const earlierSeconds = earlier?.seconds ?? 0;
  const started = performance.now();
  const seconds = (): number => earlierSeconds + (performance.now() - started) / 1000;
  let saved = run.checkpoint?.step;
  let evaluation: EvaluationRecord | undefined;
  let turn = performance.now();

  const save = async (): Promise<void> => {
    if (saved === trainer.step) return;
    const progress: RunProgress = {
      budget: config.budget,
      total_steps: budget.total ?? null,
      seconds: seconds(),
      training_tokens: data.trainingTokens ?? null,
      device: trainer.runtime.description,
    };
    await sink.checkpoint(await trainer.checkpoint(progress));
    saved = trainer.step;
    observer?.checkpoint?.(saved);
  };
  const isOver = (): boolean => budget.total !== undefined && trainer.step >= budget.total;

  observer?.begin?.(trainer.step, budget.total);
  while (!isOver() && signal?.aborted !== true) {
    const rate = learningRate(config, trainer.step, budget.total);
    const stepStarted = performance.now();
    const { step, loss, gradientNorm, routers } = await trainer.trainStep(rate);
    const stepSeconds = (performance.now() - stepStarted) / 1000;
    const settled = budget.timed(step, stepSeconds, seconds());
    const record: TrainingRecord = {
      kind: "train",
      step,
      loss,
      learning_rate: rate,
      gradient_norm: gradientNorm,
      ...routers,
      tokens_per_second: trainer.tokensPerStep / stepSeconds,
      seconds: seconds(),
    };
    await sink.record(record);
    observer?.step?.(record, budget.total);
    if (isOver() || step % config.eval.every === 0) {
      evaluation = await evaluate(run, seconds, isOver());
      await sink.record(evaluation);
      observer?.evaluation?.(evaluation);
    }
    // A number of steps that was settled is stored at once: after a kill it must not be settled anew.
    if (isOver() || settled || step % config.checkpoint.every === 0) await save();
    if (performance.now() - turn > LONGEST_TURN) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      turn = performance.now();
    }
  }
  if (isOver()) {
    return { status: "finished", step: trainer.step, total: budget.total, seconds: seconds(), evaluation };
  }
  if (trainer.step > 0) await save();
  return { status: "interrupted", step: trainer.step, total: budget.total, seconds: seconds(), evaluation };
}

/** The rate of a step. Until the number of steps is settled there is only the warm-up to follow. */
function learningRate({ optimizer, schedule }: RunConfig, step: number, total: number | undefined): number {
  const followed = total === undefined ? { ...schedule, type: "constant" as const } : schedule;
  return optimizer.lr * learningRateFactor(followed, step, total ?? 0);
}

function evaluationWork({ config, data }: TrainingRun): EvaluationWork {
  const batches = data.evaluation.length;
  const streamed = Math.min(MOST_STREAMED_TOKENS, data.heldOut?.tokens ?? 0);
  return { batches, lastBatches: batches + streamed / (config.batch_size * config.sequence_length) };
}

function resume({ trainer, data, config }: TrainingRun, checkpoint: Checkpoint): RunProgress {
  const progress = checkpoint.run as Partial<RunProgress> | null;
  if (typeof progress?.seconds !== "number") throw new CheckpointError(`the checkpoint says nothing of its run`);
  const tokens = data.trainingTokens ?? null;
  if (progress.training_tokens !== tokens) {
    throw new CheckpointError(
      `the data of run ${config.name} have changed: ${progress.training_tokens} tokens to train on then, ${tokens} now`,
    );
  }
  trainer.restore(checkpoint);
  return progress as RunProgress;
}

async function evaluate(
  { trainer, data }: TrainingRun,
  seconds: () => number,
  isLast: boolean,
): Promise<EvaluationRecord> {
  const { loss, accuracy } = await trainer.evaluate(data.evaluation);
  const record: EvaluationRecord = { kind: "evaluation", step: trainer.step, loss, seconds: seconds() };
  if (data.heldOut === undefined) return { ...record, accuracy: accuracy.correct / accuracy.scored };
  record.bits_per_byte = bitsPerByte(loss, data.heldOut);
  const stream = isLast
    ? await streamLoss(trainer.model, data.heldOut.stream.subarray(0, MOST_STREAMED_TOKENS))
    : undefined;
  if (stream !== undefined) record.streamed_bits_per_byte = bitsPerByte(stream, data.heldOut);
  return record;
}
