// What an op's wasm.ts facet sees: bound shapes, and an emitter to which it hands kernel launches.
import type { DType } from "../../graph/shape.ts";

/** How a tensor's elements are arranged in memory: row-major, or packed for the GEMM (kernels/common/panels.as.ts). */
export type Layout = "plain" | "panels";

/** A tensor of the program being planned. Passed to `Emitter.command` it becomes its address. */
export interface WasmTensor {
  readonly kind: "tensor";
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly layout: Layout;
}

/** Memory that lives for this op only, uninitialised. */
export interface Scratch {
  readonly kind: "scratch";
  readonly bytes: number;
}

/** A 32-bit float argument; plain numbers are passed as 32-bit integers. */
export interface FloatWord {
  readonly kind: "float";
  readonly value: number;
}

export function float(value: number): FloatWord {
  return { kind: "float", value };
}

/** One word of a kernel's arguments; undefined (an absent tensor) is passed as 0. */
export type Word = number | FloatWord | WasmTensor | Scratch | undefined;

export interface Emitter {
  /** Number of threads that will run the program, so that per-thread scratch can be sized. */
  readonly threads: number;
  /** Appends the launch of an exported kernel with these argument words. Launches of one op run in order, with a barrier between. */
  command(kernel: string, words: readonly Word[]): void;
  /** Scratch memory for this op, 64-byte aligned. May be called several times. */
  scratch(bytes: number): Scratch;
}

export interface WasmNode<A> {
  readonly attributes: A;
  readonly inputs: readonly (WasmTensor | undefined)[];
  /** An output that nothing reads is undefined: the kernel must accept address 0 and skip it. Output 0 is always there if anything is. */
  readonly outputs: readonly (WasmTensor | undefined)[];
}

/** Emits the commands that compute a node. */
export type WasmLowering<A> = (node: WasmNode<A>, emit: Emitter) => void;
