// What was found to be fastest on this adapter, by key. Choosing never waits: what was not measured yet takes the first
// candidate, the default by reasoning.
import type { OpDefinition } from "../../graph/types.ts";
import type { GpuHost } from "./host.ts";
import type { GpuNode } from "./lowering.ts";

/** A choice that was made without knowing: between how many candidates, and the node that would tell them apart. */
export interface Question {
  readonly key: string;
  readonly candidates: number;
  readonly op: OpDefinition;
  readonly node: GpuNode<unknown>;
}

export class Tuner {
  readonly #host: GpuHost;
  readonly #file: string;
  readonly #found: Map<string, number>;
  readonly #asked = new Map<string, Question>();
  /** Candidate that every choice takes while one is measured. */
  #forced: { readonly key: string; readonly candidate: number } | undefined;

  private constructor(host: GpuHost, file: string, found: Map<string, number>) {
    this.#host = host;
    this.#file = file;
    this.#found = found;
  }

  /** @param key names adapter, driver and options */
  static async open(host: GpuHost, key: string): Promise<Tuner> {
    const file = `tuned-${key.replace(/[^\w.-]+/g, "-").slice(0, 120)}.json`;
    const found = new Map<string, number>();
    try {
      const parsed: unknown = JSON.parse((await host.recall(file)) ?? "{}");
      if (typeof parsed === "object" && parsed !== null)
        for (const [name, value] of Object.entries(parsed)) if (Number.isInteger(value)) found.set(name, Number(value));
    } catch {
      // A damaged file is measured again.
    }
    return new Tuner(host, file, found);
  }

  choose<T>(key: string, candidates: readonly [T, ...T[]], op: OpDefinition, node: GpuNode<unknown>): T {
    if (this.#forced?.key === key) return candidates[this.#forced.candidate] ?? candidates[0];
    const found = this.#found.get(key);
    if (found === undefined && candidates.length > 1)
      this.#asked.set(key, { key, candidates: candidates.length, op, node });
    return candidates[found ?? 0] ?? candidates[0];
  }

  /** The choices made without knowing since the last call. */
  questions(): Question[] {
    const questions = [...this.#asked.values()];
    this.#asked.clear();
    return questions;
  }

  /** Has `work` done with the candidate of that number chosen. */
  async with<T>(key: string, candidate: number, work: () => Promise<T>): Promise<T> {
    this.#forced = { key, candidate };
    try {
      return await work();
    } finally {
      this.#forced = undefined;
    }
  }

  knows(key: string): boolean {
    return this.#found.has(key);
  }

  /** Keeps the number of the fastest candidate, for later processes too. */
  async learn(key: string, fastest: number): Promise<void> {
    this.#found.set(key, fastest);
    await this.#host.keep(this.#file, JSON.stringify(Object.fromEntries(this.#found)));
  }
}
