// Induction heads: after a special token came some token; when the special token comes back, say it again. The
// simplest form of in-context learning, and the shortest test of it.
import { defineTask } from "./task.ts";

// Layout of a row, with special = vocab_size - 1: random tokens; the special token and its successor at a random
// place; each repeat of the special token is scored with that successor. The last repeat is the last position.
export const inductionHeads = defineTask({
  name: "induction_heads",
  description: "Recall the token that followed the special token when it was last seen.",
  source: "Olsson et al. 2022; set up as in Mamba (Gu and Dao 2023, section 4.1.2)",
  parameters: {
    vocab_size: { default: 16, minimum: 3, description: "Token ids; the last one is the special token." },
    repeats: { default: 1, minimum: 1, description: "How often the special token comes back; each time is scored." },
  },
  vocabSize: ({ vocab_size }) => vocab_size,
  minimumLength: ({ repeats }) => 2 * repeats + 1,
  fill: ({ tokens, targets }, random, { vocab_size, repeats }) => {
    const special = vocab_size - 1;
    const last = tokens.length - 1;
    for (let i = 0; i < tokens.length; i++) tokens[i] = random.integer(0, special);
    const answer = random.integer(0, special);
    // Every occurrence but the last is followed by the answer: choose places for pairs by choosing from a shorter row.
    const pairs = random.sample(repeats, 0, last - repeats).sort();
    for (const [index, shortened] of pairs.entries()) {
      const place = shortened + index;
      tokens[place] = special;
      tokens[place + 1] = answer;
      if (index > 0) targets[place] = answer;
    }
    tokens[last] = special;
    targets[last] = answer;
  },
});
