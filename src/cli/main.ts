#!/usr/bin/env node
// The command `hybraid`.
import { hybraidVersion } from "../node/version.ts";
import { commands } from "./commands.ts";
import { main } from "./program.ts";

await main(commands, hybraidVersion());
