// How long every dispatch takes, by timestamp queries: each in a compute pass of its own.
import { RuntimeError } from "../types.ts";
import type { Command } from "./commands.ts";
import type { GpuContext } from "./device.ts";

/** Most timestamps of one query set. */
const QUERIES = 4096;

/** Seconds of each command. */
export async function timeCommands(
  commands: readonly Command[],
  context: GpuContext,
  finish: (encoder: GPUCommandEncoder) => void,
): Promise<number[]> {
  const { device } = context;
  if (!context.timestamps) throw new RuntimeError("this adapter can't time dispatches (it has no timestamp-query)");
  const times: number[] = [];
  for (let start = 0; start < commands.length; start += QUERIES / 2) {
    const batch = commands.slice(start, start + QUERIES / 2);
    const querySet = device.createQuerySet({ type: "timestamp", count: 2 * batch.length });
    const bytes = 16 * batch.length;
    const resolved = device.createBuffer({
      size: bytes,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    const staging = device.createBuffer({ size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const encoder = device.createCommandEncoder();
    for (const [i, { pipeline, group, x, y, z }] of batch.entries()) {
      const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 };
      const pass = encoder.beginComputePass({ timestampWrites });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(x, y, z);
      pass.end();
    }
    if (start + batch.length === commands.length) finish(encoder);
    encoder.resolveQuerySet(querySet, 0, 2 * batch.length, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await context.wait(staging.mapAsync(GPUMapMode.READ));
    context.check();
    const stamps = new BigInt64Array(staging.getMappedRange().slice(0));
    for (const i of batch.keys()) {
      const nanoseconds = Number((stamps[2 * i + 1] ?? 0n) - (stamps[2 * i] ?? 0n));
      times.push(Math.max(0, nanoseconds) / 1e9);
    }
    for (const resource of [querySet, resolved, staging]) resource.destroy();
  }
  return times;
}
