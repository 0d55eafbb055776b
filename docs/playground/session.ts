// A model in training: what the page's worker does between its messages. It knows nothing of pages or workers, so it runs in
// Node as well.
import {
  byteTokenizer,
  createRuntime,
  type Device,
  loadSpec,
  Random,
  type Runtime,
  Trainer,
  textBatches,
} from "../../src/index.ts";
import { FILE } from "./protocol.ts";

export interface Settings {
  /** YAML. */
  readonly architecture: string;
  /** What to learn, read as UTF-8 bytes. */
  readonly text: string;
  readonly device: Device;
  /** Rows and tokens of a training step. */
  readonly batch: number;
  readonly length: number;
  readonly learningRate: number;
}

export interface Step {
  /** Steps done. */
  readonly step: number;
  /** Mean cross entropy in nats. */
  readonly loss: number;
  /** Over the last second or so. */
  readonly tokensPerSecond: number;
}

export interface Writing {
  readonly prompt: string;
  readonly maxTokens: number;
  /** 0: the likeliest token every time. */
  readonly temperature: number;
  readonly seed: number;
}

/** What the model carries from token to token. */
export interface StateSize {
  readonly stateBytes: number;
  /** Tokens that it has seen. */
  readonly position: number;
}

export interface Written extends StateSize {
  /** Tokens generated. */
  readonly tokens: number;
  /** Of generation, the prompt left out. */
  readonly tokensPerSecond: number;
}

/** Steps over which the learning rate rises; it is constant then, so that training can go on for as long as one likes. */
const WARM_UP = 20;
/** Throughput is that of the last so many milliseconds. */
const WINDOW = 1000;
/** How long the thread computes before it looks at its messages again. */
const PATIENCE = 30;

/** Awaited between steps: messages (such as "stop") are read now and then although steps of wasm wait for nothing. */
function makeBreather(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < PATIENCE) return;
    await new Promise((resolve) => setTimeout(resolve));
    last = performance.now();
  };
}

/** Tokens per second from the times at which amounts of tokens were done, within the last {@link WINDOW} or two steps. */
function makeMeter(): (tokens: number) => number {
  const marks = [{ time: performance.now(), tokens: 0 }];
  let total = 0;
  return (tokens) => {
    const time = performance.now();
    total += tokens;
    marks.push({ time, tokens: total });
    while (marks.length > 2 && time - (marks[1]?.time ?? time) > WINDOW) marks.shift();
    const first = marks[0];
    return first === undefined ? 0 : (1000 * (total - first.tokens)) / Math.max(1e-3, time - first.time);
  };
}

export class Session {
  readonly runtime: Runtime;
  readonly #trainer: Trainer;
  readonly #length: number;
  readonly #learningRate: number;

  private constructor(runtime: Runtime, trainer: Trainer, { length, learningRate }: Settings) {
    this.runtime = runtime;
    this.#trainer = trainer;
    this.#length = length;
    this.#learningRate = learningRate;
  }

  /**
   * Draws weights and compiles the training step.
   * @throws SpecError for a bad architecture, DataError for a text that is too short, RuntimeError where the device is not to be had.
   */
  static async open(settings: Settings): Promise<Session> {
    const { architecture, text, device, batch, length } = settings;
    const spec = loadSpec(architecture, { file: FILE });
    const batches = textBatches(Uint8Array.from(byteTokenizer().encode(text)), {
      batch,
      length,
      order: "shuffled",
      random: Random.fromSeed(0),
      name: "the text",
    });
    const runtime = await createRuntime(device);
    try {
      const trainer = await Trainer.create({
        spec,
        runtime,
        batches,
        betas: [0.9, 0.95],
        eps: 1e-8,
        weightDecay: 0.1,
        gradientClip: 1,
        accumulation: 1,
        checkpointing: false,
        seed: 0,
      });
      return new Session(runtime, trainer, settings);
    } catch (error) {
      await runtime.close();
      throw error;
    }
  }

  get parameters(): number {
    return this.#trainer.model.parameterCount;
  }

  /** For one sequence of the training's length. */
  get stateSize(): StateSize {
    const position = this.#length;
    return { stateBytes: this.#trainer.model.createState(1, { context: position }).byteLength, position };
  }

  /** @throws DivergedError when the loss is not finite any more; the weights are then those of the step before. */
  async *train(steps: number, signal: AbortSignal): AsyncGenerator<Step> {
    const breathe = makeBreather();
    const measure = makeMeter();
    for (let done = 0; done < steps && !signal.aborted; done++) {
      const rate = this.#learningRate * Math.min(1, (this.#trainer.step + 1) / WARM_UP);
      const { step, loss } = await this.#trainer.trainStep(rate);
      yield { step, loss, tokensPerSecond: measure(this.#trainer.tokensPerStep) };
      await breathe();
    }
  }

  /** Yields the continuation of a prompt as it is written; returns what writing it took. */
  async *write({ prompt, ...options }: Writing, signal: AbortSignal): AsyncGenerator<string, Written> {
    const { model } = this.#trainer;
    const tokenizer = byteTokenizer();
    const decoder = tokenizer.decoder();
    const tokensOfPrompt = tokenizer.encode(prompt);
    const state = model.createState(1, { context: tokensOfPrompt.length + options.maxTokens });
    const breathe = makeBreather();
    let [tokens, first, last] = [0, 0, 0];
    for await (const token of model.generate(tokensOfPrompt, { ...options, state })) {
      last = performance.now();
      if (tokens === 0) first = last;
      tokens++;
      yield decoder.push(token);
      await breathe();
      if (signal.aborted) break;
    }
    yield decoder.end();
    return {
      tokens,
      tokensPerSecond: tokens < 2 ? 0 : (1000 * (tokens - 1)) / Math.max(1e-3, last - first),
      stateBytes: state.byteLength,
      position: state.positions[0] ?? 0,
    };
  }

  async close(): Promise<void> {
    await this.#trainer.close();
    await this.runtime.close();
  }
}
