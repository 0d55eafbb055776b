// The version of this package.
import { readFileSync } from "node:fs";

/** As package.json says, which is in the same place as seen from src/ and from dist/. */
export function hybraidVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}
