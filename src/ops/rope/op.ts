// rope: rotary position embedding.
import { formatShape, GraphError, sameShape, sizeOf } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

export interface RopeAttributes {
  /** Factor on cosines and sines (YaRN's attention factor); 1 for none. */
  readonly attentionScaling: number;
  /** Rotates by the negative angle: the transposed map, which is what gradients go through. */
  readonly inverse: boolean;
}

/** Inputs x, inv_freq, positions?; output y. See {@link rope}. */
export const ropeOp: OpDefinition<RopeAttributes> = {
  name: "rope",
  infer: ([x, frequencies, positions]) => {
    if (x === undefined || frequencies === undefined) {
      throw new GraphError(`rope: ${x === undefined ? "x" : "inv_freq"} is missing`);
    }
    const shapes = `x ${formatShape(x.shape)}, inv_freq ${formatShape(frequencies.shape)}`;
    const [batch, tokens, , channels] = x.shape;
    if (x.dtype !== "f32" || x.shape.length !== 4 || batch === undefined || tokens === undefined) {
      throw new GraphError(`rope: x must be f32 [B, T, H, d] (${shapes})`);
    }
    const [half] = frequencies.shape;
    if (frequencies.dtype !== "f32" || frequencies.shape.length !== 1 || typeof half !== "number" || half < 1) {
      throw new GraphError(`rope: inv_freq must be f32 [r/2] (${shapes})`);
    }
    if (typeof channels !== "number" || 2 * half > channels) {
      throw new GraphError(`rope: ${2 * half} channels to rotate, but heads have ${channels} (${shapes})`);
    }
    if (positions !== undefined) {
      const fits = sameShape(positions.shape, [batch]) || sameShape(positions.shape, [batch, tokens]);
      if (positions.dtype !== "i32" || !fits) {
        throw new GraphError(
          `rope: positions are ${positions.dtype} ${formatShape(positions.shape)}, must be i32 [${batch}] or [${batch}, ${tokens}]`,
        );
      }
    }
    return [{ shape: x.shape, dtype: "f32" }];
  },
  // Six operations on each pair.
  flops: ([x, frequencies]) => 6 * sizeOf((x?.shape ?? []).slice(0, 3)) * sizeOf(frequencies?.shape ?? [0]),
  inPlace: [[0, 0]],
};

export interface RopeOptions {
  /** i32: [B], the position of each row's first token, or [B, T], that of every token. 0 … T-1 when absent. */
  readonly positions?: Tensor | undefined;
  /** Default 1. */
  readonly attentionScaling?: number;
  /** Default false. */
  readonly inverse?: boolean;
}

/**
 * Rotary position embedding (Su et al. 2021, arXiv:2104.09864, eq. 34) with pairs half a rotary width apart:
 * with θ = position · inv_freq[j],
 *
 *     y[j] = x[j] cos θ - x[j + r/2] sin θ,  y[j + r/2] = x[j + r/2] cos θ + x[j] sin θ
 *
 * x f32 [B, T, H, d], inv_freq f32 [r/2] in radians per token, r ≤ d; channels from r on pass unchanged. Angles are
 * accurate at any position that i32 holds. Throws GraphError when shapes do not fit.
 */
export function rope(x: Tensor, inverseFrequencies: Tensor, options: RopeOptions = {}): Tensor {
  const { positions, attentionScaling = 1, inverse = false } = options;
  return applyOne(ropeOp, [x, inverseFrequencies, positions], { attentionScaling, inverse });
}
