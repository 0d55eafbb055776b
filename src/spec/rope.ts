// The angles of rotary positions: how far each pair of channels turns per position, for every way of stretching them.

/** Rotary positions (Su et al. 2021), half-split pairs (j, j + rotary_dim / 2). `ropeFrequencies` gives the angles. */
export interface RopeSpec {
  readonly theta: number;
  /** Rotates the first rotary_dim channels of each head; even. */
  readonly rotary_dim: number;
  readonly scaling: RopeScalingSpec | null;
}

export type RopeScalingSpec =
  | { readonly type: "linear"; readonly factor: number }
  | { readonly type: "ntk"; readonly factor: number }
  | {
      readonly type: "dynamic";
      readonly factor: number;
      readonly original_max_length: number;
      /** Sequence length that the frequencies are for. */
      readonly length: number;
    }
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly original_max_length: number;
      readonly beta_fast: number;
      readonly beta_slow: number;
      readonly attention_factor: number;
      /** The ramp starts and ends at whole pairs. */
      readonly truncate: boolean;
    }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly original_max_length: number;
      readonly low_freq_factor: number;
      readonly high_freq_factor: number;
    }
  | {
      readonly type: "longrope";
      /** One divisor per rotated pair (length rotary_dim / 2). */
      readonly factors: readonly number[];
      /** Those where length is more than original_max_length; null: always `factors`. */
      readonly long_factors: readonly number[] | null;
      readonly original_max_length: number;
      /** Sequence length that the frequencies are for. */
      readonly length: number;
      readonly attention_factor: number;
    }
  | {
      readonly type: "proportional";
      readonly factor: number;
      /** Pairs that turn, of rotary_dim / 2. */
      readonly pairs: number;
    };

export interface RopeFrequencies {
  /** Radians per position for each rotated pair, fastest first; length rotary_dim / 2. */
  readonly frequencies: Float64Array;
  /** Multiplies cosines and sines. */
  readonly attentionScaling: number;
}

/** Angular frequencies theta^(-2j / rotary_dim) (Su et al. 2021), stretched as `rope.scaling` says. */
export function ropeFrequencies(rope: RopeSpec): RopeFrequencies {
  const { theta, rotary_dim, scaling } = rope;
  const plain = powers(theta, rotary_dim);
  if (scaling === null) return { frequencies: plain, attentionScaling: 1 };
  switch (scaling.type) {
    case "linear":
      return { frequencies: plain.map((f) => f / scaling.factor), attentionScaling: 1 };
    case "ntk": {
      const stretched = theta * scaling.factor ** (rotary_dim / (rotary_dim - 2));
      return { frequencies: powers(stretched, rotary_dim), attentionScaling: 1 };
    }
    case "dynamic": {
      // With the length of the sequence in the place of a factor fixed beforehand; 1 up to the length trained on.
      const { factor, original_max_length, length } = scaling;
      const longer = Math.max(1, (factor * length) / original_max_length - (factor - 1));
      return {
        frequencies: powers(theta * longer ** (rotary_dim / (rotary_dim - 2)), rotary_dim),
        attentionScaling: 1,
      };
    }
    case "yarn":
      return { frequencies: yarn(plain, rope, scaling), attentionScaling: scaling.attention_factor };
    case "llama3":
      return { frequencies: plain.map((f) => llama3(f, scaling)), attentionScaling: 1 };
    case "longrope": {
      const { factors, long_factors, length, original_max_length, attention_factor } = scaling;
      const divisors = long_factors !== null && length > original_max_length ? long_factors : factors;
      return { frequencies: plain.map((f, j) => f / (divisors[j] ?? 1)), attentionScaling: attention_factor };
    }
    case "proportional":
      return {
        frequencies: plain.map((f, j) => (j < scaling.pairs ? f / scaling.factor : 0)),
        attentionScaling: 1,
      };
  }
}

function powers(theta: number, dim: number): Float64Array {
  return Float64Array.from({ length: dim / 2 }, (_, j) => theta ** ((-2 * j) / dim));
}

/** YaRN (Peng et al. 2023, section 3.2): interpolate the pairs that turn less than beta_slow times, keep those above beta_fast. */
function yarn(plain: Float64Array, rope: RopeSpec, scaling: RopeScalingSpec & { type: "yarn" }): Float64Array {
  const { theta, rotary_dim } = rope;
  /** The pair, as a real number, that turns `rotations` times over the original length. */
  const pairOfRotations = (rotations: number): number =>
    (rotary_dim * Math.log(scaling.original_max_length / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const [first, last] = [pairOfRotations(scaling.beta_fast), pairOfRotations(scaling.beta_slow)];
  const low = Math.max(0, scaling.truncate ? Math.floor(first) : first);
  const high = Math.min(rotary_dim - 1, scaling.truncate ? Math.ceil(last) : last);
  const width = high === low ? 0.001 : high - low;
  return plain.map((f, j) => {
    const interpolated = Math.min(1, Math.max(0, (j - low) / width));
    return (f / scaling.factor) * interpolated + f * (1 - interpolated);
  });
}

/** Llama 3.1's rule: by wavelength, with a linear blend between the two bounds. */
function llama3(frequency: number, scaling: RopeScalingSpec & { type: "llama3" }): number {
  const { factor, original_max_length, low_freq_factor, high_freq_factor } = scaling;
  const turns = original_max_length * (frequency / (2 * Math.PI));
  if (turns < low_freq_factor) return frequency / factor;
  if (turns > high_freq_factor) return frequency;
  const kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
  return (1 - kept) * (frequency / factor) + kept * frequency;
}
