// Casts to element types by name.
import type { OnnxEmitter, Value } from "../lowering.ts";

/** Their numbers in ONNX's TensorProto.DataType. */
export const elementTypes = { f32: 1, i32: 6, i64: 7, bool: 9, f16: 10 } as const;

export const cast = (x: Value | undefined, to: keyof typeof elementTypes, emit: Pick<OnnxEmitter, "node">): Value =>
  emit.node("Cast", [x], { attributes: { to: elementTypes[to] } });
