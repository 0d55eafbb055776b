// Addressing of the optional decay, whose batch and time axes may have length 1 and whose last axis may be missing.
import type { HostTensor } from "../types.ts";

/** Strides, in elements, of decay over batch, time, state heads and keys; 0 along an axis that is stretched. */
export interface DecayStrides {
  readonly batch: number;
  readonly time: number;
  readonly head: number;
  readonly key: number;
}

export function decayStrides(decay: { readonly shape: readonly number[] }): DecayStrides {
  const [b = 1, t = 1, heads = 1, keys = 1] = decay.shape;
  const perToken = heads * keys;
  return {
    batch: b === 1 ? 0 : t * perToken,
    time: t === 1 ? 0 : perToken,
    head: keys,
    key: decay.shape.length === 4 ? 1 : 0,
  };
}

/** The log decay of one element of the state; 0 without decay. */
export function decayReader(decay: HostTensor | undefined): (b: number, t: number, h: number, i: number) => number {
  if (decay === undefined) return () => 0;
  const strides = decayStrides(decay);
  return (b, t, h, i) => decay.data[b * strides.batch + t * strides.time + h * strides.head + i * strides.key] ?? 0;
}
