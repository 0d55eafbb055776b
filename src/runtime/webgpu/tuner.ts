// What was found to be fastest on this adapter, by key. Choosing never waits: what was not measured yet takes the first
// candidate, the default by reasoning.
import type { GpuHost } from "./host.ts";

export class Tuner {
  readonly #host: GpuHost;
  readonly #file: string;
  readonly #found: Map<string, number>;

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

  choose<T>(key: string, candidates: readonly [T, ...T[]]): T {
    return candidates[this.#found.get(key) ?? 0] ?? candidates[0];
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
