// The list of commands that kernels/executor runs: one for each kernel launch, with a barrier where it depends on an
// earlier one.
import type { LaunchTime } from "../types.ts";
import type { Engine } from "./engine.ts";

/** Bytes of memory that a command reads or writes. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** An argument of a kernel as it stands in memory: a 32-bit integer or address, or a 32-bit float. */
export type ArgumentWord = number | { readonly float: number };

export interface Command {
  /** What the command is part of. */
  readonly step: Omit<LaunchTime, "seconds">;
  readonly words: readonly ArgumentWord[];
}

/** Collects commands and finds out where a barrier is needed: where a command meets memory that an earlier one writes. */
export class CommandList {
  readonly commands: Command[] = [];
  readonly #engine: Engine;
  readonly #barriers: boolean[] = [];
  #reads: Range[] = [];
  #writes: Range[] = [];

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** `continues`: the command belongs to the same op as the one before and must follow it. */
  append(command: Command, reads: readonly Range[], writes: readonly Range[], continues: boolean): void {
    const touch = (a: readonly Range[], b: readonly Range[]): boolean =>
      a.some((x) => b.some((y) => x.start < y.end && y.start < x.end));
    const barrier =
      continues || touch(writes, this.#writes) || touch(writes, this.#reads) || touch(reads, this.#writes);
    if (barrier) {
      this.#reads = [];
      this.#writes = [];
    }
    this.#reads.push(...reads);
    this.#writes.push(...writes);
    this.commands.push(command);
    this.#barriers.push(barrier);
  }

  /** Writes the list into memory; returns its address. */
  write(allocate: (bytes: number) => number): number {
    const words = this.commands.flatMap((command, i) => encode(command, this.#barriers[i] === true, this.#engine));
    const address = allocate(4 * (words.length + 1));
    store([this.commands.length, ...words], address, this.#engine);
    return address;
  }
}

function encode({ step, words }: Command, barrier: boolean, engine: Engine): ArgumentWord[] {
  return [engine.kernelIndex(step.kernel), barrier ? 1 : 0, words.length, ...words];
}

function store(words: readonly ArgumentWord[], address: number, { heap }: Engine): void {
  const view = new DataView(heap.memory.buffer, address, 4 * words.length);
  for (const [i, word] of words.entries()) {
    if (typeof word === "number") view.setUint32(4 * i, word >>> 0, true);
    else view.setFloat32(4 * i, word.float, true);
  }
}

/** Runs each command as a program of its own and times it. */
export function timeCommands(commands: readonly Command[], engine: Engine, now: () => number): LaunchTime[] {
  const longest = Math.max(0, ...commands.map(({ words }) => words.length));
  const program = engine.heap.allocate(4 * (longest + 4));
  try {
    return commands.map((command) => {
      store([1, ...encode(command, false, engine)], program, engine);
      const start = now();
      engine.run(program);
      return { ...command.step, seconds: (now() - start) / 1000 };
    });
  } finally {
    engine.heap.free(program);
  }
}
