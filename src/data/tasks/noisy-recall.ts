// In-context recall with noise: a dictionary is made up for each sequence; whenever a key comes back, its value must
// be said, although noise tokens stand between the pairs.
import type { Random } from "../random.ts";
import { defineTask } from "./task.ts";

// Layout of a row: pairs of positions, each a key and its value or two noise tokens; keys are the lower half of the
// clean vocabulary, values the upper half, noise above both. A key that was seen before is scored with its value. The
// last pair is always a key that was seen.
export const noisyRecall = defineTask({
  name: "noisy_recall",
  description: "Recall the value of each key seen before, with noise between the pairs (noisy in-context recall).",
  source: "MAD (Poli et al. 2024), in-context recall and its noisy form, multi-query",
  parameters: {
    vocab_size: { default: 32, minimum: 2, description: "All token ids, noise included." },
    noise_vocab_size: { default: 16, description: "Token ids that are noise: the uppermost." },
    noise: { default: 0.2, minimum: 0, maximum: 0.99, integer: false, description: "Share of pairs that are noise." },
  },
  vocabSize: ({ vocab_size }) => vocab_size,
  minimumLength: ({ vocab_size, noise_vocab_size, noise }) => {
    if (vocab_size - noise_vocab_size < 2) {
      return `noise_vocab_size is ${noise_vocab_size}; of a vocab_size of ${vocab_size}, 2 must be left for a key and a value`;
    }
    if (noise > 0 && noise_vocab_size === 0) return `noise is ${noise}, but noise_vocab_size is 0`;
    return 4;
  },
  fill: ({ tokens, targets }, random, { vocab_size, noise_vocab_size, noise }) => {
    const clean = vocab_size - noise_vocab_size;
    const keys = Math.floor(clean / 2);
    const dictionary = new Map<number, number>();
    const pairs = Math.floor(tokens.length / 2);
    const neverNoise = random.integer(0, pairs - 1); // so that the last pair has a key to ask for
    for (let pair = 0; pair < pairs; pair++) {
      const at = 2 * pair;
      const isLast = pair === pairs - 1;
      if (!isLast && pair !== neverNoise && random.uniform() < noise) {
        tokens[at] = random.integer(clean, vocab_size);
        tokens[at + 1] = random.integer(clean, vocab_size);
        continue;
      }
      const key = isLast ? anyOf([...dictionary.keys()], random) : random.integer(0, keys);
      const known = dictionary.get(key);
      const value = known ?? random.integer(keys, clean);
      if (known !== undefined) targets[at] = known;
      dictionary.set(key, value);
      tokens[at] = key;
      tokens[at + 1] = value;
    }
    // An odd last position holds noise, or a value that nothing asks for.
    if (tokens.length % 2 === 1) tokens[tokens.length - 1] = random.integer(keys, vocab_size);
  },
});

function anyOf(items: readonly number[], random: Random): number {
  return items[random.integer(0, items.length)] ?? 0;
}
