// A run from its file to its folder: data, runtime and trainer are opened, the run is started or continued, and all that
// it leaves is on disk at every checkpoint.
import { join } from "node:path";
import { writeTextAtomic } from "../../formats/node/atomic-file.ts";
import { saveModel } from "../../model/node/files.ts";
import { createRuntime } from "../../runtime/index.ts";
import type { RunConfig } from "../config.ts";
import type { RunData } from "../data.ts";
import { lossPlot, type MetricsRecord } from "../metrics.ts";
import { type RunObserver, type RunOutcome, runTraining } from "../run.ts";
import { Trainer } from "../trainer.ts";
import { type LatestCheckpoint, readLatest, saveCheckpoint } from "./checkpoints.ts";
import type { LoadedRun } from "./config.ts";
import { openRunData } from "./data.ts";
import { openMetrics, readMetrics } from "./metrics.ts";
import { CHECKPOINT_FOLDER, checkFolder, METRICS_FILE, PLOT_FILE, writeFolder } from "./run-folder.ts";

/** What is known of a run before its first step. */
export interface RunSummary {
  readonly config: RunConfig;
  readonly data: RunData;
  readonly folder: string;
  readonly parameters: number;
  /** The runtime in a line. */
  readonly device: string;
  /** Bytes of memory for values in flight. */
  readonly arenaBytes: number;
  /** The checkpoint that the run goes on from. */
  readonly resumed: LatestCheckpoint | undefined;
}

export interface RunFolderOptions {
  readonly folder: string;
  /** Go on with the run that the folder holds; a folder without one starts from the beginning. */
  readonly resume?: boolean;
  readonly signal?: AbortSignal;
  readonly observer?: RunObserver & { start?(summary: RunSummary): void };
}

/**
 * Trains what a run file says, in a folder (see run-folder.ts).
 * @throws RunFolderError, DataError, DivergedError, CheckpointError, FileWriteError and what else its parts throw; the
 * last good checkpoint stays.
 */
export async function trainInFolder(run: LoadedRun, options: RunFolderOptions): Promise<RunOutcome> {
  const { config, directory } = run;
  const { folder, resume = false, signal, observer } = options;
  const continues = await checkFolder(folder, run, resume);
  const data = await openRunData(config, directory);
  await writeFolder(folder, run);
  const checkpoints = join(folder, CHECKPOINT_FOLDER);
  const resumed = continues ? await readLatest(checkpoints) : undefined;
  const runtime = await createRuntime(config.device, { threads: config.threads });
  const { optimizer, accumulation, block_checkpointing: checkpointing, seed } = config;
  let trainer: Trainer | undefined;
  try {
    trainer = await Trainer.create({
      spec: config.architecture,
      runtime,
      batches: data.training,
      betas: optimizer.betas,
      eps: optimizer.eps,
      weightDecay: optimizer.weight_decay,
      gradientClip: optimizer.grad_clip,
      accumulation,
      checkpointing,
      seed,
    });
    const { model, arenaBytes } = trainer;
    const { parameterCount: parameters } = model;
    observer?.start?.({ config, data, folder, parameters, device: runtime.description, arenaBytes, resumed });
    const metrics = await openMetrics(join(folder, METRICS_FILE), resumed?.checkpoint.step ?? 0);
    const plot = async (): Promise<void> => {
      const records = await readMetrics(join(folder, METRICS_FILE));
      if (records.length > 0) await writeTextAtomic(join(folder, PLOT_FILE), lossPlot(records, config.name));
    };
    try {
      return await runTraining({
        config,
        trainer,
        data,
        signal,
        observer,
        checkpoint: resumed?.checkpoint,
        sink: {
          record: (record: MetricsRecord) => metrics.append(record),
          checkpoint: async (checkpoint) => {
            await saveCheckpoint(checkpoints, checkpoint, config.checkpoint.keep);
            await saveModel(model, folder);
            await plot();
          },
        },
      });
    } finally {
      await metrics.close();
    }
  } finally {
    await trainer?.close();
    await runtime.close();
  }
}
