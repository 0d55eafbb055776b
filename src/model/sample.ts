// Choosing the next token from logits.
import { Random } from "../data/random.ts";
import { ModelError } from "./error.ts";

export interface SamplingOptions {
  /** 0: greedy (the default). Logits are divided by it. */
  readonly temperature?: number;
  /** Keep the k largest logits; 0: all. */
  readonly topK?: number;
  /** Keep the smallest set of tokens whose probabilities reach p (Holtzman et al. 2020); 1: all. */
  readonly topP?: number;
  /** Divides positive logits of tokens seen before, multiplies negative ones (Keskar et al. 2019); 1: none. */
  readonly repetitionPenalty?: number;
  /** Choose among ids under this only: a model's vocabulary is often padded beyond its tokenizer's. Default: all. */
  readonly vocabSize?: number;
  readonly seed?: number;
}

export interface Sampler {
  /** The next token, given logits f32 [V] (not modified) and the tokens so far. */
  next(logits: Float32Array, seen: Iterable<number>): number;
}

function check(name: string, value: number, ok: boolean, allowed: string): void {
  if (!ok) throw new ModelError(`${name} is ${value}; allowed: ${allowed}`);
}

export function createSampler(options: SamplingOptions = {}): Sampler {
  const { temperature = 0, topK = 0, topP = 1, repetitionPenalty = 1, vocabSize, seed = 0 } = options;
  check("temperature", temperature, temperature >= 0 && Number.isFinite(temperature), "0 (greedy) or more");
  check("topK", topK, Number.isInteger(topK) && topK >= 0, "0 (all) or a positive whole number");
  check("topP", topP, topP > 0 && topP <= 1, "over 0, up to 1");
  check(
    "repetitionPenalty",
    repetitionPenalty,
    repetitionPenalty > 0 && Number.isFinite(repetitionPenalty),
    "over 0; 1 is none",
  );
  check(
    "vocabSize",
    vocabSize ?? 1,
    vocabSize === undefined || (Number.isInteger(vocabSize) && vocabSize > 0),
    "a positive whole number",
  );
  const random = Random.fromSeed(seed).split("sampling");
  return {
    next(all, seen) {
      const allowed = all.subarray(0, vocabSize);
      const logits = repetitionPenalty === 1 ? allowed : penalise(allowed, seen, repetitionPenalty);
      const best = argMax(logits);
      if (!Number.isFinite(logits[best]))
        throw new ModelError("the logits hold no finite number: the model has diverged");
      return temperature === 0 ? best : draw(logits, { temperature, topK, topP }, random);
    },
  };
}

/** Index of the largest value, the first of equals. */
export function argMax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++)
    if ((values[i] ?? 0) > (values[best] ?? 0) || Number.isNaN(values[best])) best = i;
  return best;
}

function penalise(original: Float32Array, seen: Iterable<number>, penalty: number): Float32Array {
  const logits = original.slice();
  for (const token of new Set(seen)) {
    const logit = logits[token] ?? 0;
    logits[token] = logit > 0 ? logit / penalty : logit * penalty;
  }
  return logits;
}

function draw(
  logits: Float32Array,
  { temperature, topK, topP }: { temperature: number; topK: number; topP: number },
  random: Random,
): number {
  let order = Array.from(logits.keys());
  if (topK > 0 || topP < 1) order.sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b);
  if (topK > 0) order = order.slice(0, topK);
  const largest = logits[argMax(logits)] ?? 0;
  const weights = order.map((token) => Math.exp(((logits[token] ?? 0) - largest) / temperature));
  let total = weights.reduce((sum, w) => sum + w, 0);
  if (topP < 1) {
    let kept = 0;
    let mass = 0;
    while (kept < weights.length && mass < topP * total) mass += weights[kept++] ?? 0;
    weights.length = kept;
    total = mass;
  }
  let point = random.uniform(0, total);
  for (const [i, weight] of weights.entries()) {
    point -= weight;
    if (point < 0) return order[i] ?? 0;
  }
  return order[weights.length - 1] ?? 0;
}
