// Every family of checkpoints. One that comes earlier is preferred where an architecture fits several.
import type { Family } from "../family.ts";
import { bamba } from "./bamba.ts";
import { falconH1 } from "./falcon-h1.ts";
import { gemma2, gemma3 } from "./gemma.ts";
import { gpt2 } from "./gpt2.ts";
import { granite } from "./granite.ts";
import { jamba } from "./jamba.ts";
import { kimiLinear } from "./kimi-linear.ts";
import { lfm2, lfm2Moe } from "./lfm2.ts";
import { llama, qwen3 } from "./llama.ts";
import { falconMamba, mamba } from "./mamba.ts";
import { mamba2 } from "./mamba2.ts";
import { minimax } from "./minimax.ts";
import { nemotronH } from "./nemotron-h.ts";
import { olmoHybrid } from "./olmo-hybrid.ts";
import { qwen3Next, qwen35, qwen35Moe } from "./qwen-next.ts";
import { recurrentGemma } from "./recurrent-gemma.ts";
import { rwkv } from "./rwkv.ts";
import { zamba } from "./zamba.ts";
import { zamba2 } from "./zamba2.ts";

export const families: readonly Family[] = [
  ...[mamba, falconMamba, mamba2, llama, qwen3, gemma2, gemma3, gpt2],
  ...[jamba, zamba, zamba2, bamba, granite, nemotronH, falconH1, recurrentGemma, qwen3Next, qwen35, qwen35Moe],
  ...[kimiLinear, lfm2, lfm2Moe, minimax, olmoHybrid, rwkv],
];
