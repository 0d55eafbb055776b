#!/usr/bin/env node
// The command `hybraid`.
import { readFileSync } from "node:fs";
import { commands } from "./commands.ts";
import { main } from "./program.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

await main(commands, version);
