#!/usr/bin/env node
import { commands } from "./commands.ts";
import { main } from "./program.ts";
// The command `hybraid`.
import { hybraidVersion } from "./version.ts";

await main(commands, hybraidVersion());
