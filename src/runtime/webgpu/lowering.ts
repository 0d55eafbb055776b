// What an op's webgpu.ts facet sees: bound shapes, what the device can do, and an emitter to which it hands dispatches.
import type { DType } from "../../graph/shape.ts";
import type { WeightStorage } from "../types.ts";

/**
 * How elements lie in a buffer. Kernels never see the difference: they read and write through accessors (shader.ts),
 * which convert. int8 and int4 hold blocks of 32 elements with one f32 scale each, and are only read.
 */
export type Storage = WeightStorage | "i32";

/** Elements per scale of int8 and int4 storage. */
export const QUANTISED_BLOCK = 32;

export interface GpuTensor {
  readonly kind: "tensor";
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly storage: Storage;
}

/** Memory that lives for this op only, uninitialised: f32. */
export interface Scratch {
  readonly kind: "scratch";
  readonly bytes: number;
}

/** Elements `first` … `first + length - 1` of a tensor. Bind parts where a whole is larger than a binding may be. */
export interface Part {
  readonly kind: "part";
  readonly of: GpuTensor | Scratch;
  /** A multiple of {@link PART_ALIGNMENT}. */
  readonly first: number;
  readonly length: number;
}

/** Elements to which the start of a part is aligned: 256 bytes of the narrowest storage and of its scales. */
export const PART_ALIGNMENT = 2048;

export type Bound = GpuTensor | Scratch | Part;

export interface Binding {
  readonly tensor: Bound;
  readonly access: "read" | "write" | "update";
  /** 4: the kernel reads (and writes) four consecutive elements at a time. Default 1. */
  readonly width?: 1 | 4;
}

/** A 32-bit float constant or uniform; plain numbers are u32. */
export interface FloatValue {
  readonly kind: "float";
  readonly value: number;
}

export function float(value: number): FloatValue {
  return { kind: "float", value };
}

export interface Dispatch {
  /** The file kernels/<kernel>.wgsl, or what a generated kernel is called. */
  readonly kernel: string;
  /** Text of a generated kernel; the file's otherwise. */
  readonly source?: string;
  /** What the pipeline is specialised for: sizes of the model, options. Each distinct set is compiled once. */
  readonly constants?: Readonly<Record<string, number | boolean | FloatValue>>;
  /** What varies between dispatches of one pipeline: anything that depends on batch or time. Read as `uniforms.name`. */
  readonly uniforms?: Readonly<Record<string, number | FloatValue>>;
  /** By the name that the kernel's accessors have; absent ones give HAS_NAME = false. */
  readonly bindings: Readonly<Record<string, Binding | undefined>>;
  /** Workgroups along x, y, z; each at most 65535 (see {@link spread}). */
  readonly workgroups: readonly [x: number, y?: number, z?: number];
  /** Why this variant and no other, for `explain()`. */
  readonly reason?: string;
}

/** What the device offers, as far as kernels care. */
export interface DeviceFacts {
  readonly subgroups: boolean;
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  readonly f16: boolean;
  /** Bytes of workgroup memory. */
  readonly workgroupMemory: number;
  readonly invocations: number;
  /** Most bytes of one binding. */
  readonly maxBinding: number;
  readonly maxStorageBindings: number;
}

/**
 * Whether the device's lanes are those of a CPU's vector unit: memory is read lane by lane there, whatever the addresses, while
 * handing a value to all lanes is one instruction. Known only by the size of subgroups, which is small and always the same.
 */
export const isCpu = ({ subgroups, subgroupMinSize, subgroupMaxSize }: DeviceFacts): boolean =>
  subgroups && subgroupMaxSize <= 8 && subgroupMinSize === subgroupMaxSize;

export interface Emitter {
  readonly device: DeviceFacts;
  /** Appends a dispatch. Dispatches run in order; each sees what the ones before it wrote. */
  dispatch(dispatch: Dispatch): void;
  /** Scratch memory for this op. May be called several times. */
  scratch(bytes: number): Scratch;
  /** Whether output number `output` lies where input number `input` does, as one of the op's inPlace pairs: it may be updated where it is. */
  inPlace(input: number, output: number): boolean;
  /** Which of at most three candidates is fastest here: measured once per adapter and key, the first where nothing was measured. */
  tuned<T>(key: string, candidates: readonly [T, ...T[]]): T;
}

export interface GpuNode<A> {
  readonly attributes: A;
  readonly inputs: readonly (GpuTensor | undefined)[];
  /** An output that nothing reads is undefined. */
  readonly outputs: readonly (GpuTensor | undefined)[];
}

/** Emits the dispatches that compute a node. */
export type GpuLowering<A> = (node: GpuNode<A>, emit: Emitter) => void;

export const read = (tensor: Bound | undefined, width: 1 | 4 = 1): Binding | undefined =>
  tensor && { tensor, access: "read", width };
export const write = (tensor: Bound | undefined, width: 1 | 4 = 1): Binding | undefined =>
  tensor && { tensor, access: "write", width };
export const update = (tensor: Bound | undefined, width: 1 | 4 = 1): Binding | undefined =>
  tensor && { tensor, access: "update", width };
export const part = (of: GpuTensor | Scratch, first: number, length: number): Part => ({
  kind: "part",
  of,
  first,
  length,
});

const MOST_WORKGROUPS = 65535;

/** `count` workgroups as a grid of x and y; kernels number them x + y · (workgroups along x) and ignore the excess. */
export function spread(count: number): [x: number, y: number] {
  if (count <= MOST_WORKGROUPS) return [Math.max(1, count), 1];
  const y = Math.ceil(count / MOST_WORKGROUPS);
  return [Math.ceil(count / y), y];
}

/** Bytes of `length` elements; without the scales of quantised storage. */
export function storageBytes(storage: Storage, length: number): number {
  if (storage === "f16") return 4 * Math.ceil(length / 2);
  if (storage === "int8") return 4 * Math.ceil(length / 4);
  if (storage === "int4") return 4 * Math.ceil(length / 8);
  return 4 * length;
}

/** Rows of `width` elements cut into runs that fit in a binding, each starting where a part may start. */
export function rowRuns(
  rows: number,
  width: number,
  storage: Storage,
  { maxBinding }: DeviceFacts,
): { readonly first: number; readonly rows: number }[] {
  if (storageBytes(storage, rows * width) <= maxBinding) return [{ first: 0, rows }];
  let step = 1;
  while ((step * width) % PART_ALIGNMENT !== 0) step *= 2;
  const perRun = Math.max(step, step * Math.floor(maxBinding / storageBytes(storage, width) / step));
  return Array.from({ length: Math.ceil(rows / perRun) }, (_, i) => ({
    first: i * perRun,
    rows: Math.min(perRun, rows - i * perRun),
  }));
}
