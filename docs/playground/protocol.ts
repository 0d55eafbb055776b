// What the page and its worker tell each other.
import type { Device } from "../../src/index.ts";
import type { Settings, StateSize, Step, Writing, Written } from "./session.ts";

/** The architecture's name in messages about it. */
export const FILE = "architecture.yaml";

export type Request =
  /** Which GPU is there? `software`: one that computes on the CPU will do. */
  | { readonly kind: "find-gpu"; readonly software: boolean }
  /** Begin with fresh weights. */
  | { readonly kind: "train"; readonly settings: Settings; readonly steps: number }
  | { readonly kind: "continue"; readonly steps: number }
  | { readonly kind: "write"; readonly writing: Writing }
  /** End what is being done, after the step or token in hand. */
  | { readonly kind: "stop" };

export type Reply =
  | { readonly kind: "gpu"; readonly device: Device; readonly description: string }
  | { readonly kind: "no-gpu"; readonly reason: string }
  | ({ readonly kind: "opened"; readonly description: string; readonly parameters: number } & StateSize)
  | ({ readonly kind: "step" } & Step)
  | { readonly kind: "text"; readonly text: string }
  | ({ readonly kind: "written" } & Written)
  /** A request failed; `of`: what it was about. */
  | { readonly kind: "error"; readonly of: Request["kind"]; readonly message: string }
  /** A request other than "stop" is done or has failed. `trained`: there is a model to continue and to write with. */
  | { readonly kind: "idle"; readonly trained: boolean };
