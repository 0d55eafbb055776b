// rope in float64, pair by pair.
import { type Reference, required } from "../types.ts";
import type { RopeAttributes } from "./op.ts";

export const reference: Reference<RopeAttributes> = (inputs, { attentionScaling, inverse }) => {
  const x = required(inputs[0], "x");
  const frequencies = required(inputs[1], "inv_freq").data;
  const positions = inputs[2];
  const [batch = 0, tokens = 0, heads = 0, channels = 0] = x.shape;
  const half = frequencies.length;
  const data = Float64Array.from(x.data);
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < tokens; t++) {
      const start = positions?.shape.length === 1 ? Number(positions.data[b]) + t : t;
      const position = positions?.shape.length === 2 ? Number(positions.data[b * tokens + t]) : start;
      for (let h = 0; h < heads; h++) {
        const head = ((b * tokens + t) * heads + h) * channels;
        for (let j = 0; j < half; j++) {
          const angle = position * Number(frequencies[j]);
          const cosine = attentionScaling * Math.cos(angle);
          const sine = attentionScaling * Math.sin(inverse ? -angle : angle);
          const [first, second] = [Number(x.data[head + j]), Number(x.data[head + j + half])];
          data[head + j] = first * cosine - second * sine;
          data[head + j + half] = second * cosine + first * sine;
        }
      }
    }
  }
  return [{ shape: x.shape, dtype: "f32", data }];
};
