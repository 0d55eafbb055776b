// Every command, in the order in which help shows them.
import { register as bench } from "./bench.ts";
import { register as check } from "./check.ts";
import { register as generate } from "./generate.ts";
import { register as inspect } from "./inspect.ts";
import type { Register } from "./program.ts";
import { register as train } from "./train.ts";

export const commands: readonly Register[] = [check, inspect, train, generate, bench];
