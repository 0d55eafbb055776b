// Parity: say whether the ones so far are odd in number. The simplest language that needs a state which changes with
// every input: attention and models with positive decay fail on it at length.
import { defineTask } from "./task.ts";

// Layout of a row: random bits; the target at each scored position is the parity of all bits up to and including it.
export const parity = defineTask({
  name: "parity",
  description: "Say whether the number of ones so far is odd.",
  source: "Hahn 2020; Grazzi et al. 2024 on what it asks of linear recurrences",
  parameters: {
    scored: { default: "every", choices: ["every", "last"], description: "Score every position, or the last only." },
  },
  vocabSize: () => 2,
  minimumLength: () => 1,
  fill: ({ tokens, targets }, random, { scored }) => {
    let ones = 0;
    for (let i = 0; i < tokens.length; i++) {
      const bit = random.integer(0, 2);
      tokens[i] = bit;
      ones += bit;
      if (scored === "every" || i === tokens.length - 1) targets[i] = ones % 2;
    }
  },
});
