// Runs an exported file in onnxruntime and compares it with what our own runtime computed: a pass over a whole sequence, a
// prompt with single tokens after it, and two rows of which one is padded on the left.
import type { InferenceSession } from "onnxruntime-node";
import { OnnxError } from "../error.ts";
import { type Expected, likeliest } from "./expected.ts";
import { type OnnxFileFacts, readOnnxFile } from "./file.ts";
import { type OnnxRuntime, refused, runtimeName } from "./runtime.ts";
import { OnnxRun } from "./session.ts";

/** How far logits may be off. */
export interface Tolerance {
  /** largest: the largest error relative to the largest logit; rms: root mean squares of errors and logits in proportion. */
  readonly of: "largest" | "rms";
  readonly most: number;
}

/**
 * By how weights are stored. With f32, sums in another order give up to 2e-5 in all families that are tested. Narrower weights are
 * compared with the logits of those that they were made from: what is allowed is more than they cost the smallest random models,
 * in which nothing is redundant, and far less than the error of a graph that computes something else.
 */
export const tolerances: Readonly<Record<string, Tolerance>> = {
  f32: { of: "largest", most: 2e-4 },
  f16: { of: "rms", most: 2e-2 },
  int8: { of: "rms", most: 0.3 },
  int4: { of: "rms", most: 0.7 },
  int4f16: { of: "rms", most: 0.7 },
};

/** Weights as they are in the file, not repacked for speed: they are then in memory once. */
const sessionOptions = { logSeverityLevel: 4, extra: { session: { disable_prepacking: "1" } } } as const;

export const checks = ["full", "steps", "padded"] as const;
export type Check = (typeof checks)[number];

export interface Verification {
  readonly path: string;
  readonly facts: OnnxFileFacts;
  /** Name and version of what ran it. */
  readonly runtime: string;
  /** Largest error of each check, relative to the largest logit. */
  readonly errors: Readonly<Record<Check, number>>;
  /** The largest of them. */
  readonly error: number;
  /** Root mean square of all errors, relative to that of the logits. */
  readonly rms: number;
  readonly tolerance: Tolerance;
  /** At how many of the positions compared the likeliest token is the same. */
  readonly top: { readonly same: number; readonly of: number };
  /** Until the session was there. */
  readonly sessionSeconds: number;
  readonly ok: boolean;
}

/**
 * @throws OnnxError for a file that onnxruntime refuses, with advice where there is any
 */
export async function verifyOnnxFile(
  path: string,
  expected: Expected,
  runtime: OnnxRuntime,
  signal?: AbortSignal,
): Promise<Verification> {
  const facts = await readOnnxFile(path);
  if (facts.specHash !== undefined && facts.specHash !== expected.specHash)
    throw new OnnxError(`${path}: its architecture is another one than that of the logits it is to be compared with`);
  const tolerance = tolerances[facts.dtype];
  if (tolerance === undefined) throw new OnnxError(`${path}: no tolerance is set for weights stored as ${facts.dtype}`);
  const start = performance.now();
  const session = await refused(path, facts.dialect, () => runtime.InferenceSession.create(path, sessionOptions));
  const sessionSeconds = (performance.now() - start) / 1000;
  try {
    const tally = new Tally(expected, facts.logits);
    const errors = await refused(path, facts.dialect, () => runChecks(session, expected, runtime, tally, signal));
    const error = checks.reduce((worst, check) => larger(worst, errors[check]), 0);
    const { rms } = tally;
    return {
      path,
      facts,
      runtime: runtimeName(runtime),
      errors,
      error,
      rms,
      tolerance,
      top: { same: tally.same, of: tally.positions },
      sessionSeconds,
      // NaN is never below.
      ok: (tolerance.of === "rms" ? rms : error) <= tolerance.most,
    };
  } finally {
    await session.release();
  }
}

async function runChecks(
  session: InferenceSession,
  { rows, prompt, padding }: Expected,
  runtime: OnnxRuntime,
  tally: Tally,
  signal: AbortSignal | undefined,
): Promise<Record<Check, number>> {
  const [first] = rows;
  const length = first.length;
  const errors: Record<Check, number> = { full: 0, steps: 0, padded: 0 };
  const run = async (check: Check, batch: readonly Int32Array[], pads: readonly number[], calls: readonly number[]) => {
    const model = new OnnxRun(runtime, session, batch.length);
    let from = 0;
    for (const to of calls) {
      signal?.throwIfAborted();
      const logits = await model.forward(
        batch.map((row) => row.subarray(from, to)),
        from === 0 ? pads : [],
      );
      errors[check] = larger(errors[check], tally.compare(logits, pads, from, to));
      from = to;
    }
  };
  const stepwise = [prompt, ...Array.from({ length: length - prompt }, (_, i) => prompt + i + 1)];
  await run("full", [first], [0], [length]);
  await run("steps", [first], [0], stepwise);
  await run("padded", rows, [0, padding], stepwise);
  return errors;
}

/** The larger; NaN, once there, stays. */
const larger = (a: number, b: number): number => (b > a || Number.isNaN(b) ? b : a);

/** Compares logits as they come, and counts. */
class Tally {
  same = 0;
  positions = 0;
  #squaredErrors = 0;
  #squares = 0;
  readonly #expected: Expected;
  readonly #last: boolean;

  constructor(expected: Expected, logits: "all" | "last") {
    this.#expected = expected;
    this.#last = logits === "last";
  }

  /** Largest error of logits [rows, to - from or 1, vocabulary] of the positions from `from` up to `to`. */
  compare(logits: Float32Array, padding: readonly number[], from: number, to: number): number {
    const { rows, columns, logits: wanted, top, largest } = this.#expected;
    const length = rows[0].length;
    const given = this.#last ? 1 : to - from;
    const vocabulary = logits.length / (padding.length * given);
    let worst = 0;
    for (const [row, pad] of padding.entries()) {
      for (let i = 0; i < given; i++) {
        const position = to - given + i;
        if (position < pad) continue;
        const at = (row * given + i) * vocabulary;
        const values = logits.subarray(at, at + vocabulary);
        this.positions++;
        if (likeliest(values) === top[row * length + position]) this.same++;
        for (const [c, column] of columns.entries()) {
          const expected = wanted[(row * length + position) * columns.length + c] as number;
          const error = (values[column] as number) - expected;
          worst = larger(worst, Math.abs(error) / largest);
          this.#squaredErrors += error ** 2;
          this.#squares += expected ** 2;
        }
      }
    }
    return worst;
  }

  get rms(): number {
    return Math.sqrt(this.#squaredErrors / this.#squares);
  }
}
