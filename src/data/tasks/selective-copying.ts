// Selective copying: remember which tokens mattered and say them in order, however far apart they stood. A
// time-invariant model cannot tell data from blanks; a selective one can.
import { defineTask } from "./task.ts";

// Layout of a row, with k = tokens_to_copy, blank = vocab_size - 2 and copy = vocab_size - 1:
//   k data tokens in order at random places among blanks | copy | k blanks, scored: the data tokens
export const selectiveCopying = defineTask({
  name: "selective_copying",
  description: "Copy the data tokens, which stand at random places among blanks, in order when asked to.",
  source: "Mamba (Gu and Dao 2023, section 4.1.1); layout as in MAD (Poli et al. 2024)",
  parameters: {
    vocab_size: { default: 16, minimum: 3, description: "Token ids; the last two are the blank and the copy token." },
    tokens_to_copy: { default: 16, minimum: 1, description: "Data tokens in each sequence." },
    selective: { default: true, description: "Place the data tokens at random; if false, all stand at the start." },
  },
  vocabSize: ({ vocab_size }) => vocab_size,
  minimumLength: ({ tokens_to_copy }) => 2 * tokens_to_copy + 1,
  fill: ({ tokens, targets }, random, { vocab_size, tokens_to_copy, selective }) => {
    const blank = vocab_size - 2;
    const prompt = tokens.length - tokens_to_copy - 1;
    tokens.fill(blank);
    const places = selective
      ? random.sample(tokens_to_copy, 0, prompt).sort()
      : Int32Array.from({ length: tokens_to_copy }, (_, i) => i);
    for (const [index, place] of places.entries()) {
      const token = random.integer(0, blank);
      tokens[place] = token;
      targets[prompt + 1 + index] = token;
    }
    tokens[prompt] = vocab_size - 1;
  },
});
