// Launch of gru (kernels/gru).
import type { Emitter, WasmLowering, Word } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { GruAttributes } from "./op.ts";

/** With fewer rows than threads: multiply-adds of a step, about 10 µs, from which on splitting it is worth a barrier. */
const LARGE_STEP = 1 << 17;
/** Weights of this many bytes no longer fit a core's own cache. */
const LARGE_WEIGHTS = 1 << 20;

/**
 * Emits `steps` steps of a recurrent kernel whose last words are (first step, end of steps, split units): in one command in
 * which threads split batch rows, or as one command per step in which they split the hidden units, where there are fewer
 * rows than threads and a step is large, or the weights are too large for one core.
 */
export function emitSteps(
  emit: Emitter,
  kernel: string,
  words: readonly Word[],
  steps: number,
  batch: number,
  hidden: number,
): void {
  const few = batch < emit.threads;
  const large = few ? 3 * batch * hidden * hidden >= LARGE_STEP : 12 * hidden * hidden >= LARGE_WEIGHTS;
  const splitUnits = emit.threads > 1 && large;
  if (!splitUnits) emit.command(kernel, [...words, 0, steps, 0]);
  else for (let step = 0; step < steps; step++) emit.command(kernel, [...words, step, step + 1, 1]);
}

export const lower: WasmLowering<GruAttributes> = ({ inputs, outputs }, emit) => {
  const [batch = 0, tokens = 0] = required(inputs[0], "x_gates").shape;
  const hidden = required(inputs[1], "w_hh").shape[1] ?? 0;
  const [y, hT, gates] = outputs;
  const words = [
    ...Array.from({ length: 4 }, (_, i) => inputs[i]),
    y ?? emit.scratch(4 * batch * tokens * hidden),
    hT,
    gates,
    emit.scratch(128 * emit.threads),
    batch,
    tokens,
    hidden,
  ];
  emitSteps(emit, "gru", words, hT === undefined ? tokens : tokens + 1, batch, hidden);
};
