// What to do about a model that onnxruntime refuses: its messages name operators and versions, not the choice that would have
// avoided them.
import { type Dialect, mostTokens } from "../lowering.ts";

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

const inWords = (tokens: number): string => tokens.toLocaleString("en");

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
  {
    message: /(batch_size must be 1 when sequence_length > 1 and past context is given)/,
    advise: () =>
      "onnxruntime's attention goes on from a cache with several tokens for one row only: feed all rows their prompts in the first call and single tokens after it, or one row at a time; --dialect onnx has no such limit",
  },
  {
    message: /Name:'embedding\/[^']*' Status Message: indices element out of data bounds, idx=(-?\d+)/,
    advise: (index) =>
      `${index} is no token of this model's vocabulary, or a position beyond those that it has learned`,
  },
  {
    // Scans over time have levels for so many tokens; of more, some are missing at the last of them.
    message:
      /Name:'([^']*)' Status Message: (?:indices element out of data bounds|.*(?:Shape mismatch attempting to re-use buffer|Attempting to broadcast an axis))/,
    advise: (node) =>
      `sizes don't fit at ${node}: those of the inputs contradict each other, or the call has more tokens than the graph is made for (${inWords(mostTokens.call)}; in a training step ${inWords(mostTokens.training)}): feed a long text in several calls, each with the states that the last one gave`,
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
