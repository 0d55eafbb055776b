// The state of a model in mid-sequence as a value: convolution windows, SSM states, KV caches and the position. It can be
// cloned, saved, loaded, looked into and handed to another model of the same architecture.
import { encodeSafetensors, memorySource, openSafetensors } from "../formats/safetensors/index.ts";
import { bindShape, type Dim, type Shape, sizeOf } from "../graph/shape.ts";
import type { Buffer, HostArray } from "../runtime/types.ts";
import { ModelError } from "./error.ts";

/** One tensor that a model carries from call to call. */
export interface StateTensorInfo {
  readonly name: string;
  readonly shape: Shape;
  /** Value of every element before the first token. */
  readonly reset: number;
}

/** What the states of a model have in common. */
export interface StateLayout {
  readonly specHash: string;
  readonly tensors: readonly StateTensorInfo[];
}

/** Device buffers for one batch size and capacity, which hold one state at a time. */
export interface StateSlot {
  readonly buffers: ReadonlyMap<string, Buffer>;
  resident: ModelState | undefined;
}

/** Whether the size of this tensor depends on the context capacity. */
export function dependsOnCapacity(shape: Shape): boolean {
  return shape.some((dim) => typeof dim === "string" && dim.startsWith("C"));
}

/** Bytes of a state, all rows together, at a context capacity. */
export function stateBytes(tensors: readonly StateTensorInfo[], batch: number, capacity: number): number {
  return tensors.reduce((sum, { shape }) => sum + 4 * sizeOf(bindShape(shape, { B: batch, T: 1, C: capacity })), 0);
}

export class ModelState {
  readonly layout: StateLayout;
  /** Rows. */
  readonly batch: number;
  /** Tokens that each row has consumed, int32 [batch]. */
  readonly positions: Int32Array;
  #capacity: number;
  #host: Map<string, Float32Array> | undefined;
  #slot: StateSlot | undefined;

  constructor(
    layout: StateLayout,
    batch: number,
    capacity: number,
    host?: Map<string, Float32Array>,
    positions?: Int32Array,
  ) {
    this.layout = layout;
    this.batch = batch;
    this.#capacity = capacity;
    this.positions = positions ?? new Int32Array(batch);
    this.#host =
      host ?? new Map(layout.tensors.map(({ name, shape, reset }) => [name, this.#empty(shape, reset)] as const));
  }

  #empty(shape: Shape, reset: number): Float32Array {
    return new Float32Array(sizeOf(this.shapeOf(shape))).fill(reset);
  }

  /** Keys that full-attention caches can hold; grows when a call needs more. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Bytes of all tensors: what `inspect` reports for this batch and capacity. */
  get byteLength(): number {
    return stateBytes(this.layout.tensors, this.batch, this.#capacity);
  }

  /** A symbolic shape of the layout, in numbers. */
  shapeOf(shape: Shape): number[] {
    return bindShape(shape, { B: this.batch, T: 1, C: this.#capacity });
  }

  /** Copies of all tensors by name, with their shapes. */
  async tensors(): Promise<Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>> {
    const values = await this.#values();
    return new Map(
      this.layout.tensors.map(({ name, shape }) => [
        name,
        { shape: this.shapeOf(shape), data: (values.get(name) ?? new Float32Array()).slice() },
      ]),
    );
  }

  /** Replaces one tensor (patching): row-major, of the shape that `tensors` reports. */
  async set(name: string, data: Float32Array): Promise<void> {
    const info = this.layout.tensors.find((tensor) => tensor.name === name);
    if (info === undefined) {
      throw new ModelError(
        `the state has no tensor "${name}"; it has ${this.layout.tensors.map((t) => t.name).join(", ")}`,
      );
    }
    const size = sizeOf(this.shapeOf(info.shape));
    if (data.length !== size) throw new ModelError(`state tensor "${name}" has ${size} elements, got ${data.length}`);
    await this.leave();
    this.#host?.set(name, data.slice());
  }

  /** An independent copy. */
  async clone(): Promise<ModelState> {
    const values = new Map([...(await this.#values())].map(([name, data]) => [name, data.slice()] as const));
    return new ModelState(this.layout, this.batch, this.#capacity, values, this.positions.slice());
  }

  /** The state as a safetensors file. */
  async save(): Promise<Uint8Array> {
    const tensors = [...(await this.tensors())].map(([name, { shape, data }]) => ({
      name,
      dtype: "F32" as const,
      shape,
      data,
    }));
    const positions = { name: "position", dtype: "I32" as const, shape: [this.batch], data: this.positions };
    return encodeSafetensors([...tensors, positions], {
      format: "hybraid_state",
      version: "1",
      spec_hash: this.layout.specHash,
      capacity: String(this.#capacity),
    });
  }

  /** Reads what `save` wrote. @throws ModelError when it belongs to another architecture, SafetensorsError when it is damaged. */
  static async load(bytes: Uint8Array, layout: StateLayout, name = "state"): Promise<ModelState> {
    const file = await openSafetensors(memorySource(bytes, name));
    const { format, version, spec_hash: hash, capacity: written } = file.metadata;
    if (format !== "hybraid_state" || version !== "1") {
      throw new ModelError(
        `${name}: not a state file of version 1 (format ${format ?? "absent"}, version ${version ?? "absent"})`,
      );
    }
    requireSameSpec(hash ?? "", layout, name);
    const capacity = Number(written);
    const positions = await file.read("position");
    if (!(positions instanceof Int32Array)) throw new ModelError(`${name}: tensor position must be I32`);
    const batch = positions.length;
    if (!Number.isInteger(capacity) || capacity < 1 || positions.some((p) => p < 0)) {
      throw new ModelError(`${name}: capacity ${written} or positions ${positions.join(", ")} make no sense`);
    }
    const host = new Map<string, Float32Array>();
    for (const { name: tensor, shape } of layout.tensors) {
      const expected = bindShape(shape, { B: batch, T: 1, C: capacity });
      const info = file.info(tensor);
      if (info.dtype !== "F32" || info.shape.join() !== expected.join()) {
        throw new ModelError(
          `${name}: tensor ${tensor} is ${info.dtype} [${info.shape.join(", ")}], must be F32 [${expected.join(", ")}]`,
        );
      }
      host.set(tensor, await file.readFloat32(tensor));
    }
    return new ModelState(layout, batch, capacity, host, positions.slice());
  }

  /** Makes room for `capacity` keys. Only grows; what is cached stays (a cache that has not wrapped keeps its places). */
  async reserve(capacity: number): Promise<void> {
    if (capacity <= this.#capacity) return;
    await this.leave();
    const old = this.#capacity;
    this.#capacity = capacity;
    for (const { name, shape, reset } of this.layout.tensors) {
      if (!dependsOnCapacity(shape)) continue;
      const before = bindShape(shape, { B: this.batch, T: 1, C: old });
      const grown = this.#empty(shape, reset);
      const axis = shape.findIndex((dim: Dim) => typeof dim === "string" && dim.startsWith("C"));
      const [narrow, wide] = [sizeOf(before.slice(axis)), sizeOf(this.shapeOf(shape).slice(axis))];
      const source = this.#host?.get(name) ?? new Float32Array();
      for (let row = 0; row < this.batch; row++)
        grown.set(source.subarray(row * narrow, (row + 1) * narrow), row * wide);
      this.#host?.set(name, grown);
    }
  }

  /** Moves the values into a slot's buffers; whoever was there moves out. For the model. */
  async enter(slot: StateSlot): Promise<void> {
    if (this.#slot === slot && slot.resident === this) return;
    await slot.resident?.leave();
    const values = await this.#values();
    for (const [name, buffer] of slot.buffers) {
      const data = values.get(name);
      if (data !== undefined) buffer.write(data);
    }
    await this.leave();
    slot.resident = this;
    this.#slot = slot;
    this.#host = undefined;
  }

  /** Moves the values back to host memory and gives the slot up. */
  async leave(): Promise<void> {
    if (this.#slot === undefined) return;
    this.#host = await this.#values();
    this.#slot.resident = undefined;
    this.#slot = undefined;
  }

  async #values(): Promise<Map<string, Float32Array>> {
    if (this.#host !== undefined) return this.#host;
    const values = new Map<string, Float32Array>();
    for (const [name, buffer] of this.#slot?.buffers ?? []) {
      const data: HostArray = await buffer.read();
      if (data instanceof Float32Array) values.set(name, data);
    }
    return values;
  }
}

/** @throws ModelError when `hash` is not that of the layout's architecture. */
export function requireSameSpec(hash: string, layout: StateLayout, what: string): void {
  if (hash !== layout.specHash) {
    throw new ModelError(
      `${what}: belongs to an architecture with hash ${hash || "unknown"}, this model's is ${layout.specHash}`,
    );
  }
}
