// Parameters and states in GPU memory: f32 (or i32), f16, or blocks of int8 and int4 with f32 scales.
import { type BoundType, type DType, sizeOf } from "../../graph/shape.ts";
import { type Buffer, checkArray, type HostArray, RuntimeError } from "../types.ts";
import type { GpuContext } from "./device.ts";
import { QUANTISED_BLOCK, type Storage, storageBytes } from "./lowering.ts";
import { dequantise, fromHalf, quantise, toHalf } from "./storage.ts";

/** A range of a GPUBuffer. */
export interface Region {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

export class WebGpuBuffer implements Buffer {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly storage: Storage;
  readonly region: Region;
  /** Scales of int8 and int4 storage. */
  readonly scales: Region | undefined;
  readonly #context: GpuContext;

  constructor(context: GpuContext, type: BoundType, storage: Storage) {
    this.shape = type.shape;
    this.dtype = type.dtype;
    this.storage = storage;
    this.#context = context;
    const size = sizeOf(type.shape);
    this.region = createRegion(context, storageBytes(storage, size), "buffer");
    this.scales =
      storage === "int8" || storage === "int4"
        ? createRegion(context, 4 * Math.ceil(size / QUANTISED_BLOCK), "scales")
        : undefined;
  }

  write(data: HostArray): void {
    checkArray("buffer contents", this, data);
    const { queue } = this.#context.device;
    if (this.storage === "f32" || this.storage === "i32") {
      queue.writeBuffer(this.region.buffer, 0, data as HostArray & ArrayBufferView<ArrayBuffer>);
    } else if (this.storage === "f16") {
      queue.writeBuffer(this.region.buffer, 0, toHalf(data));
    } else {
      const { words, scales } = quantise(data, this.storage);
      queue.writeBuffer(this.region.buffer, 0, words);
      if (this.scales !== undefined) queue.writeBuffer(this.scales.buffer, 0, scales);
    }
  }

  async read(): Promise<HostArray> {
    const size = sizeOf(this.shape);
    const bytes = await readRegion(this.#context, this.region);
    if (this.storage === "i32") return new Int32Array(bytes).slice(0, size);
    if (this.storage === "f32") return new Float32Array(bytes).slice(0, size);
    if (this.storage === "f16") return fromHalf(new Uint16Array(bytes), size);
    if (this.scales === undefined) throw new RuntimeError("quantised buffer without scales");
    const scales = new Float32Array(await readRegion(this.#context, this.scales));
    return dequantise(new Uint32Array(bytes), scales, this.storage, size);
  }

  free(): void {
    this.region.buffer.destroy();
    this.scales?.buffer.destroy();
  }
}

/** A buffer of its own for `bytes`; WebGPU has none of size 0. */
export function createRegion({ device, maxBuffer, check }: GpuContext, bytes: number, label: string): Region {
  check();
  const size = Math.max(16, Math.ceil(bytes / 16) * 16);
  if (size > maxBuffer) {
    throw new RuntimeError(
      `a ${label} of ${size} bytes is wanted, but this device has buffers of at most ${maxBuffer}`,
    );
  }
  const buffer = device.createBuffer({
    label,
    size,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  return { buffer, offset: 0, bytes: size };
}

/** A copy of what a range holds. */
export async function readRegion(context: GpuContext, { buffer, offset, bytes }: Region): Promise<ArrayBuffer> {
  const { device } = context;
  const size = Math.ceil(bytes / 4) * 4;
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  try {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await context.wait(staging.mapAsync(GPUMapMode.READ));
    context.check();
    return staging.getMappedRange().slice(0);
  } finally {
    staging.destroy();
  }
}
