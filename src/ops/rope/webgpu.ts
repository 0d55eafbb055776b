// Dispatch of rope (kernels/rope): one pass over x. Angles are worked out once for several heads where there is enough to do.
import { float, type GpuLowering, part, read, rowRuns, spread, write } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import type { RopeAttributes } from "./op.ts";

/** Threads that keep a device busy: beyond them a thread takes several heads. */
const ENOUGH_THREADS = 1 << 14;

export const lower: GpuLowering<RopeAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const x = required(inputs[0], "rope x");
  const frequencies = required(inputs[1], "rope inv_freq");
  const y = required(outputs[0], "rope y");
  const positions = inputs[2];
  const [batch = 0, tokens = 0, heads = 0, channels = 0] = x.shape;
  const [half = 0] = frequencies.shape;
  if (batch * tokens * heads === 0) return;
  const width = half % 4 === 0 && channels % 4 === 0 ? 4 : 1;
  // In place, channels that are not rotated are where they belong.
  const items = (emit.inPlace(0, 0) ? half : channels - half) / width;
  const headsEach = Math.max(1, Math.min(heads, 8, Math.floor((batch * tokens * heads * items) / ENOUGH_THREADS)));
  const headGroups = Math.ceil(heads / headsEach);
  for (const { first, rows } of rowRuns(batch * tokens, heads * channels, "f32", emit.device)) {
    const run = (tensor: typeof x) => part(tensor, first * heads * channels, rows * heads * channels);
    emit.dispatch({
      kernel: "rope/rope",
      constants: {
        WIDTH: width,
        ITEMS: items,
        PAIRS: half / width,
        VECTORS: channels / width,
        HEADS: heads,
        AXES: positions?.shape.length ?? 0,
        FACTOR: float(attributes.attentionScaling),
        SIGN: float(attributes.inverse ? -1 : 1),
      },
      uniforms: {
        items: rows * headGroups * items,
        head_groups: headGroups,
        heads_each: headsEach,
        first_token: first,
        tokens,
      },
      bindings: {
        x: read(run(x), width),
        inv_freq: read(frequencies),
        positions: read(positions),
        y: write(run(y), width),
      },
      workgroups: spread(Math.ceil((rows * headGroups * items) / 64)),
      reason: `${width === 4 ? "four pairs" : "a pair"} of ${headsEach} head${headsEach > 1 ? "s" : ""} a thread`,
    });
  }
};
