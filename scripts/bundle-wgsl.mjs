// Gathers kernels/**/*.wgsl into dist/kernels/wgsl.json, path to text: one file for Node to read and browsers to fetch.
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** @param {string} [out] folder of the bundle */
export function bundleWgsl(out = join(root, "dist", "kernels")) {
  const kernels = join(root, "kernels");
  const files = readdirSync(kernels, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".wgsl"));
  const texts = Object.fromEntries(
    files.sort().map((name) => [name.replaceAll("\\", "/"), readFileSync(join(kernels, name), "utf8")]),
  );
  mkdirSync(out, { recursive: true });
  // Tests in other processes may be reading it.
  const draft = join(out, `wgsl.json.${process.pid}`);
  writeFileSync(draft, JSON.stringify(texts));
  renameSync(draft, join(out, "wgsl.json"));
}
