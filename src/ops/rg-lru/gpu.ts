// How recurrences with a state per channel are cut where tensors are larger than a binding may be: by batch rows.
import { type DeviceFacts, type GpuTensor, PART_ALIGNMENT, part, storageBytes } from "../../runtime/webgpu/lowering.ts";

/**
 * Runs of batch rows, and a tensor's part with those rows. All tensors have a multiple of `channels` elements a row, the widest
 * one `widest`; runs begin where the narrowest one may be cut, too.
 */
export function batchParts(
  batch: number,
  channels: number,
  widest: number,
  { maxBinding }: Pick<DeviceFacts, "maxBinding">,
) {
  const fits = storageBytes("f32", batch * widest) <= maxBinding;
  let step = 1;
  while (!fits && (step * channels) % PART_ALIGNMENT !== 0) step *= 2;
  const rows = fits ? batch : Math.max(step, step * Math.floor(maxBinding / storageBytes("f32", widest) / step));
  return Array.from({ length: Math.ceil(batch / rows) }, (_, i) => {
    const first = i * rows;
    const count = Math.min(rows, batch - first);
    return {
      first,
      rows: count,
      cut: (tensor: GpuTensor | undefined, width: number) =>
        tensor && (count === batch ? tensor : part(tensor, first * width, count * width)),
    };
  });
}
