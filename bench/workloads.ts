// The whole models that are timed, how long their prompts are, and what they read; which of them the command line asks for.
import { parseArgs } from "node:util";
import type { ArchitectureSpec } from "../src/spec/types.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "7" }, json: { type: "string" } },
});
export const rounds = Number(values.rounds);
const workloads = { W1: "mamba-130m", W2: "mamba2-130m", W3: "small-hybrid" } as const;
/** [name, file of architectures/bench] of those that are asked for; all where none is. */
export const chosen = Object.entries(workloads).filter(
  ([key]) => positionals.length === 0 || positionals.includes(key),
);

export const PROMPT = 512;
export const DECODE_PROMPT = 32;
export const DECODE = 64;
export const THREADS = 2;

/** Token ids that follow no pattern, those from position `start` on. */
export const tokensFrom = (start: number, length: number, spec: ArchitectureSpec): Int32Array =>
  Int32Array.from({ length }, (_, i) => ((start + i) * 7919 + 13) % spec.vocab_size);
