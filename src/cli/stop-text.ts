// Texts that end a generation. What might be the beginning of one is held back until more is known, so that nothing of
// a stop text is ever shown.

/** What is known after more text. */
export interface Released {
  /** Text that is certain to come before any stop text. */
  readonly text: string;
  /** The stop text that was met; all after it is dropped. */
  readonly stop: string | undefined;
}

/** Watches text that comes in pieces for any of `stops`. */
export class StopText {
  readonly #stops: readonly string[];
  #held = "";

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  push(piece: string): Released {
    const text = this.#held + piece;
    let first: { at: number; stop: string } | undefined;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at >= 0 && (first === undefined || at < first.at)) first = { at, stop };
    }
    if (first !== undefined) {
      this.#held = "";
      return { text: text.slice(0, first.at), stop: first.stop };
    }
    const kept = Math.max(0, ...this.#stops.map((stop) => overlap(text, stop)));
    this.#held = text.slice(text.length - kept);
    return { text: text.slice(0, text.length - kept), stop: undefined };
  }

  /** What was held back, when no more text comes. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }
}

/** Length of the longest end of `text` that is a beginning of `stop`, but not all of it. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
