// Copies into dist/ what the TypeScript compiler leaves behind: the JSON Schema, for editors.
import { cpSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
cpSync(
  fileURLToPath(new URL("src/spec/architecture.schema.json", root)),
  fileURLToPath(new URL("dist/spec/architecture.schema.json", root)),
);
