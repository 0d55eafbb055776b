// Every command, in the order in which help shows them.
import { register as bench } from "./bench.ts";
import { register as check } from "./check.ts";
import { register as compare } from "./compare.ts";
import { register as exportModel } from "./export.ts";
import { register as generate } from "./generate.ts";
import { register as importModel } from "./import.ts";
import { register as inspect } from "./inspect.ts";
import { register as logits } from "./logits.ts";
import type { Register } from "./program.ts";
import { register as train } from "./train.ts";
import { register as verify } from "./verify.ts";

export const commands: readonly Register[] = [
  check,
  inspect,
  train,
  generate,
  importModel,
  exportModel,
  verify,
  logits,
  compare,
  bench,
];
