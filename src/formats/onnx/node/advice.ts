// What to do about a model that onnxruntime refuses: its messages name operators and versions, not the choice that would have
// avoided them.
import type { Dialect } from "../lowering.ts";

interface Advice {
  /** What the message says; group 1 is what it is about. */
  readonly message: RegExp;
  readonly advise: (subject: string, dialect: string | undefined) => string;
}

const other = (dialect: string | undefined): string => {
  const next: Readonly<Partial<Record<string, Dialect>>> = { onnx: "ort", ort: "portable" };
  const choice = next[dialect ?? ""] ?? "portable";
  return choice === "ort"
    ? "--dialect ort says the same in operators of onnxruntime, --dialect portable in primitives of opset 17"
    : "--dialect portable says the same in primitives of opset 17";
};

/** The first that fits counts. */
const table: readonly Advice[] = [
  {
    message: /Opset (\d+) is under development/,
    advise: (opset) =>
      `this onnxruntime takes opset ${opset} only with the environment variable ALLOW_RELEASED_ONNX_OPSET_ONLY=0; for onnxruntime, --dialect ort is meant`,
  },
  {
    message: /Unsupported model IR version: (\d+)/,
    advise: (version) =>
      `this onnxruntime is older than version ${version} of the file format; --dialect ort or --dialect portable writes version 8`,
  },
  {
    message: /No Op registered for (\S+) with domain_version of \d+/,
    advise: (op, dialect) => `this onnxruntime does not know the standard operator ${op}; ${other(dialect)}`,
  },
  {
    message: /com\.microsoft:(\w+)\(-?\d+\) is not a registered function\/op/,
    advise: (op) =>
      `this onnxruntime is too old for its own operator ${op}, or built without such operators; take version 1.30 or later, or ${other("ort")}`,
  },
  {
    message: /(\S+:\w+)\(-?\d+\) is not a registered function\/op/,
    advise: (op) => `${op} is an operator of neither ONNX nor onnxruntime: this file was not exported from here`,
  },
  {
    message: /Could not find an implementation for (\w+)\(\d+\) node/,
    advise: (op, dialect) => `this onnxruntime can't compute ${op} with these types here; ${other(dialect)}`,
  },
  {
    message: /(?:External data path does not exist: "([^"]+)"|External data file not found)/,
    advise: (path) =>
      `the weights are in a file of their own that must lie beside the graph: ${path}; in a browser it is given as externalData`,
  },
  {
    message: /External initializer: (\S+) offset: .*(?:out of bounds|read in full)/,
    advise: (tensor) =>
      `the file of weights is shorter than ${tensor} needs: it was cut off, or belongs to another graph`,
  },
  {
    message: /(Protobuf parsing failed)/,
    advise: () => "the file is no ONNX model, or was cut off; export it again",
  },
];

/**
 * Advice on a message of onnxruntime's; undefined for one that nothing is known about.
 * @param dialect of the file that it is about
 */
export function adviceOn(message: string, dialect?: string): string | undefined {
  for (const { message: pattern, advise } of table) {
    const match = pattern.exec(message);
    if (match !== null) return advise(match[1] ?? "", dialect);
  }
  return undefined;
}
