// How recurrences with a state per channel are cut where tensors are larger than a binding may be: by batch rows.
import { type DeviceFacts, type GpuTensor, part, rowRuns } from "../../runtime/webgpu/lowering.ts";

/** Runs of batch rows whose widest tensor has `widest` elements a row, and a tensor's part with those rows. */
export function batchParts(batch: number, widest: number, device: DeviceFacts) {
  return rowRuns(batch, widest, "f32", device).map(({ first, rows }) => ({
    first,
    rows,
    cut: (tensor: GpuTensor | undefined, width: number) =>
      tensor && (rows === batch ? tensor : part(tensor, first * width, rows * width)),
  }));
}
