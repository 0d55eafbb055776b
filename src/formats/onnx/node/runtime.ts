// onnxruntime for Node, an optional dependency.
import type * as Ort from "onnxruntime-node";

export type OnnxRuntime = typeof Ort;

/** Told to those who lack it. */
export const INSTALL_ONNXRUNTIME = "npm install onnxruntime-node";

/** undefined where it is not installed or has no build for this system. */
export async function loadOnnxRuntime(): Promise<OnnxRuntime | undefined> {
  // Standard operators that are in no ONNX release that it knows are refused otherwise; it warns once.
  process.env.ALLOW_RELEASED_ONNX_OPSET_ONLY ??= "0";
  try {
    const module = (await import("onnxruntime-node")) as OnnxRuntime & { readonly default?: OnnxRuntime };
    return module.default ?? module;
  } catch {
    return undefined;
  }
}
