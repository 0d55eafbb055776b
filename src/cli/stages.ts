// What a command is doing, where a terminal shows it: one line that is written over, and gone at the end.

export interface Stages {
  show(text: string): void;
  end(): void;
}

export function createStages(stream: NodeJS.WriteStream): Stages {
  if (!stream.isTTY) return { show: () => {}, end: () => {} };
  return {
    show: (text) => void stream.write(`\r\x1b[K${text} …`),
    end: () => void stream.write("\r\x1b[K"),
  };
}

/** Runs `work` with a signal that Ctrl-C aborts, so that it can leave nothing behind. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.off(name, stop);
  }
}
