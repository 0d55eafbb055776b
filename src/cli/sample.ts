// What a trained model writes: the sample at the end of a run.
import picocolors from "picocolors";
import { loadModel } from "../model/node/files.ts";
import type { RunConfig } from "../train/config.ts";
import { folderTokenizer } from "./tokenizer.ts";

/**
 * Generates the run's sample with the model as it was saved, while it is seen to be written. Returns the text after the
 * prompt; undefined where the run wants none.
 */
export async function writeSample(
  config: RunConfig,
  folder: string,
  print: (text: string) => void,
): Promise<string | undefined> {
  const { prompt, tokens, temperature, top_k: topK, top_p: topP } = config.sample;
  if (config.data.type === "task" || tokens === 0) return undefined;
  const tokenizer = await folderTokenizer(folder, config.architecture.vocab_size);
  const model = await loadModel(folder, { device: config.device, threads: config.threads });
  try {
    const decoder = tokenizer.decoder();
    const stopTokens = tokenizer.endOfText === undefined ? [] : [tokenizer.endOfText];
    let text = "";
    const add = (piece: string): void => {
      text += piece;
      print(piece);
    };
    print(`\n${picocolors.dim("── a sample ".padEnd(60, "─"))}\n${picocolors.bold(prompt)}`);
    const sampling = { temperature, topK, topP, vocabSize: tokenizer.vocabSize, seed: config.seed };
    const options = { ...sampling, maxTokens: tokens, stopTokens };
    for await (const token of model.generate(tokenizer.encode(prompt), options)) add(decoder.push(token));
    add(decoder.end());
    print(`\n${picocolors.dim("".padEnd(60, "─"))}\n\n`);
    return text;
  } finally {
    await model.close();
  }
}
