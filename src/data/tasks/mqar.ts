// Multi-query associative recall: key-value pairs first, then the keys again at distances that follow a power law,
// as repeated bigrams do in text. What separates attention from models with a small state.
import type { Random } from "../random.ts";
import { defineTask } from "./task.ts";

// Layout of a row, with n = kv_pairs: key value key value … (2n tokens), then slots of two tokens. A slot that holds a
// query has its key in the first place, scored with its value. All else is filler.
export const mqar = defineTask({
  name: "mqar",
  description: "Say the value of each key that comes back, among many keys (multi-query associative recall).",
  source: "Zoology (Arora et al. 2023)",
  parameters: {
    vocab_size: { default: 8192, minimum: 4, description: "Token ids: 0, then keys, then values in the upper half." },
    kv_pairs: { default: 8, minimum: 1, description: "Key-value pairs in each sequence, keys all different." },
    power: {
      default: 0.01,
      minimum: 0.001,
      maximum: 1,
      integer: false,
      description: "Exponent a of the density of distances, a·x^(a-1): 1 is uniform, near 0 favours short ones.",
    },
    random_filler: { default: true, description: "Fill with random tokens; if false, with token 0." },
  },
  vocabSize: ({ vocab_size }) => vocab_size,
  minimumLength: ({ vocab_size, kv_pairs }) => {
    const keys = Math.floor(vocab_size / 2) - 1;
    return kv_pairs <= keys
      ? 4 * kv_pairs
      : `kv_pairs is ${kv_pairs}, but a vocab_size of ${vocab_size} has ${keys} keys`;
  },
  fill: ({ tokens, targets }, random, { vocab_size, kv_pairs, power, random_filler }) => {
    const firstValue = Math.floor(vocab_size / 2);
    const keys = random.sample(kv_pairs, 1, firstValue);
    const values = random.sample(kv_pairs, firstValue, vocab_size);
    const context = 2 * kv_pairs;
    for (let i = context; i < tokens.length; i++) tokens[i] = random_filler ? random.integer(0, vocab_size) : 0;
    const slots = weightedSample(Math.floor((tokens.length - context) / 2), kv_pairs, power, random);
    for (let pair = 0; pair < kv_pairs; pair++) {
      const key = keys[pair] ?? 0;
      const value = values[pair] ?? 0;
      tokens[2 * pair] = key;
      tokens[2 * pair + 1] = value;
      const query = context + 2 * (slots[pair] ?? 0);
      tokens[query] = key;
      targets[query] = value;
    }
  },
});

/**
 * `count` different slots from 0 to `slots` - 1, slot x drawn with weight (x+1)^(power-1), in the order drawn. Exponential races
 * (Efraimidis and Spirakis 2006): the smallest of E/weight are a weighted sample without replacement.
 */
function weightedSample(slots: number, count: number, power: number, random: Random): readonly number[] {
  const race = Array.from({ length: slots }, (_, slot) => ({
    slot,
    time: -Math.log(1 - random.uniform()) * (slot + 1) ** (1 - power),
  }));
  race.sort((a, b) => a.time - b.time);
  return race.slice(0, count).map(({ slot }) => slot);
}
