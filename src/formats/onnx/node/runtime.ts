// onnxruntime for Node, an optional dependency.
import type * as Ort from "onnxruntime-node";
import { OnnxError } from "../error.ts";
import { adviceOn } from "./advice.ts";

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

/** Its name and version. */
export const runtimeName = ({ env }: OnnxRuntime): string => `onnxruntime-node ${env.versions.node ?? ""}`.trim();

/**
 * What onnxruntime makes of the file `path`, written in `dialect`.
 * @throws OnnxError where it refuses, with its message and advice where there is any
 */
export async function refused<T>(path: string, dialect: string | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof Error) || cause instanceof OnnxError || cause.name === "AbortError") throw cause;
    const advice = adviceOn(cause.message, dialect);
    const said = cause.message.trim().replace(/\s+/g, " ");
    throw new OnnxError(`${path}: onnxruntime refuses it: ${said}${advice === undefined ? "" : `\n${advice}`}`, {
      cause,
    });
  }
}
