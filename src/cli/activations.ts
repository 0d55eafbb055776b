// --activations: how the GPU keeps what layers hand to each other.
import { Option } from "commander";

export const activationsOption = (what: string): Option =>
  new Option("--activations <type>", `${what}how values in flight are kept; f16 on webgpu only`).choices([
    "f32",
    "f16",
  ]);
