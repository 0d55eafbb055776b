// Every family of checkpoints. One that comes earlier is preferred where an architecture fits several.
import type { Family } from "../family.ts";
import { gemma2, gemma3 } from "./gemma.ts";
import { gpt2 } from "./gpt2.ts";
import { llama, qwen3 } from "./llama.ts";
import { falconMamba, mamba } from "./mamba.ts";
import { mamba2 } from "./mamba2.ts";

export const families: readonly Family[] = [mamba, falconMamba, mamba2, llama, qwen3, gemma2, gemma3, gpt2];
