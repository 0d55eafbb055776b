// Launch of long_convolution (kernels/long_convolution).
import type { Emitter, Scratch, WasmLowering } from "../../runtime/wasm/lowering.ts";
import { required } from "../types.ts";
import type { LongConvolutionAttributes } from "./op.ts";

/** Sequences up to this length are convolved directly: measured faster than by transforms. */
const DIRECT = 64;

/** Emits the twiddles of transforms that hold twice `tokens` points; no table where the direct form is faster. */
export function emitTwiddles(
  emit: Emitter,
  tokens: number,
): { readonly table: Scratch | undefined; readonly points: number } {
  if (tokens <= DIRECT) return { table: undefined, points: 0 };
  const points = 2 ** Math.ceil(Math.log2(2 * tokens));
  const table = emit.scratch((points / 4) * 24);
  emit.command("long_convolution_twiddles", [table, points, emit.scratch(64 * emit.threads)]);
  return { table, points };
}

/** Channels that a thread takes at a time: a cache line of every token, unless that leaves threads without work. */
export function channelsPerItem(emit: Emitter, table: Scratch | undefined, channels: number): number {
  return table !== undefined && channels >= 32 * emit.threads ? 16 : 4;
}

export const lower: WasmLowering<LongConvolutionAttributes> = ({ inputs, outputs }, emit) => {
  const [batch = 0, tokens = 0, channels = 0] = required(inputs[0], "u").shape;
  const { table, points } = emitTwiddles(emit, tokens);
  // Padding and taps of four channels, two rows of 16 channels, one transform and those of K.
  const perThread = (3 * 128 + 16 * tokens + 128 * tokens + 5 * 32 * points + 63) & ~63;
  emit.command("long_convolution", [
    ...inputs,
    required(outputs[0], "y"),
    table,
    points,
    emit.scratch(emit.threads * perThread),
    perThread,
    batch,
    tokens,
    channels,
    channelsPerItem(emit, table, channels),
  ]);
};
