// The thread that trains and writes, so that the page stays alive. It may sleep while its own threads work, which a page's main
// thread may not.
import { createRuntime, type Device } from "../../src/index.ts";
import type { Reply, Request } from "./protocol.ts";
import { Session } from "./session.ts";

const tell = (reply: Reply): void => globalThis.postMessage(reply);
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

let session: Session | undefined;
let running = new AbortController();

async function findGpu(software: boolean): Promise<void> {
  const reasons: string[] = [];
  for (const device of ["webgpu", ...(software ? ["webgpu:software"] : [])] as Device[]) {
    try {
      const runtime = await createRuntime(device);
      tell({ kind: "gpu", device, description: runtime.description });
      return await runtime.close();
    } catch (error) {
      reasons.push(messageOf(error));
    }
  }
  tell({ kind: "no-gpu", reason: reasons.at(-1) ?? "" });
}

async function train(steps: number): Promise<void> {
  if (session === undefined) return;
  for await (const step of session.train(steps, running.signal)) tell({ kind: "step", ...step });
}

async function serve(request: Exclude<Request, { kind: "stop" }>): Promise<void> {
  switch (request.kind) {
    case "find-gpu":
      return findGpu(request.software);
    case "train": {
      const old = session;
      session = undefined;
      await old?.close();
      session = await Session.open(request.settings);
      const { runtime, parameters, stateSize } = session;
      tell({ kind: "opened", description: runtime.description, parameters, ...stateSize });
      return train(request.steps);
    }
    case "continue":
      return train(request.steps);
    case "write": {
      if (session === undefined) return;
      const pieces = session.write(request.writing, running.signal);
      for (;;) {
        const { done, value } = await pieces.next();
        if (done) return tell({ kind: "written", ...value });
        tell({ kind: "text", text: value });
      }
    }
  }
}

/** Requests are served one after the other. */
let queue: Promise<void> = Promise.resolve();

globalThis.onmessage = ({ data: request }: MessageEvent<Request>) => {
  if (request.kind === "stop") return running.abort();
  queue = queue.then(async () => {
    running = new AbortController();
    try {
      await serve(request);
    } catch (error) {
      tell({ kind: "error", of: request.kind, message: messageOf(error) });
    }
    tell({ kind: "idle", trained: session !== undefined });
  });
};
