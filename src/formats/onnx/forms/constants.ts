// Constants that many nodes of a graph share.
import type { OnnxEmitter, Value } from "../lowering.ts";

/** f32 [size] */
export const ones = (size: number, emit: OnnxEmitter): Value =>
  emit.once(`ones ${size}`, () => emit.floats(new Float32Array(size).fill(1), [size]));
