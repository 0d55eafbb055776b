// Learning-rate schedules: a linear warm-up, then constant, cosine, linear, or stable-then-decay (WSD).

/** A schedule, as in the run file. */
export interface Schedule {
  type: "constant" | "cosine" | "linear" | "wsd";
  /** Steps over which the rate rises linearly from 0. */
  warmup_steps?: number;
  /** Share of the peak rate at the end; 0 by default. Not for `constant`. */
  final_ratio?: number;
  /** `wsd`: share of all steps spent decaying at the end; 0.2 by default. */
  decay_share?: number;
}

/**
 * The factor on the peak learning rate at a step, from 0 to 1. Warm-up gives (step + 1) / warmup_steps, so that the
 * first step already moves; the last step, `totalSteps` - 1, ends at `final_ratio` exactly.
 *
 * Cosine: Loshchilov and Hutter 2017. WSD, with the linear decay found best by Hägele et al. 2024: Hu et al. 2024.
 *
 * @param step from 0; steps past the end stay at the final value
 * @param totalSteps steps of the whole run
 */
export function learningRateFactor(schedule: Schedule, step: number, totalSteps: number): number {
  const { type, warmup_steps: warmup = 0, final_ratio: final = 0, decay_share: decayShare = 0.2 } = schedule;
  if (step < warmup) return (step + 1) / warmup;
  if (type === "constant") return 1;
  const start = type === "wsd" ? Math.max(warmup, totalSteps - Math.ceil(decayShare * totalSteps)) : warmup;
  // Decay runs over the steps start … totalSteps - 1; the step before it is at the peak.
  const progress = Math.min(1, Math.max(0, (step - start + 1) / Math.max(1, totalSteps - start)));
  const shape = type === "cosine" ? (1 + Math.cos(Math.PI * progress)) / 2 : 1 - progress;
  return final + (1 - final) * shape;
}
