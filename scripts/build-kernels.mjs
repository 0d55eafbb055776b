// Compiles kernels/*/*.as.ts with AssemblyScript into two WebAssembly binaries: `simd` (baseline 128-bit SIMD,
// multiply then add) and `relaxed` (relaxed SIMD with fused multiply-add). Every exported function of the entry files
// is a kernel; kernels/common/ is library code and no entry. Skips the work when nothing has changed. The GPU's kernels,
// kernels/*/*.wgsl, are gathered beside them.
//   node scripts/build-kernels.mjs [--only matmul,map] [--out DIR]
// --only builds some folders (and the executor), --out elsewhere than dist/kernels; the runtime reads the folder that the
// environment variable HYBRAID_KERNELS names, so a kernel can be tried while others are being rewritten.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import asc from "assemblyscript/asc";
import { bundleWgsl } from "./bundle-wgsl.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const kernels = join(root, "kernels");
const { values: options } = parseArgs({ options: { only: { type: "string" }, out: { type: "string" } } });
const out = options.out === undefined ? join(root, "dist", "kernels") : resolve(options.out);
const only = options.only?.split(",").concat("executor", "copy");
bundleWgsl(out);

const sources = readdirSync(kernels, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".as.ts"))
  .sort();
const entries = sources
  .filter((name) => !name.startsWith("common/") && (only?.includes(dirname(name)) ?? true))
  .map((name) => join("kernels", name));

const hash = createHash("sha256")
  .update(readFileSync(fileURLToPath(import.meta.url)))
  .update(entries.join());
for (const name of sources) hash.update(name).update(readFileSync(join(kernels, name)));
const digest = hash.digest("hex");
const stamp = join(out, "digest.txt");
if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) process.exit(0);

mkdirSync(out, { recursive: true });
const variants = {
  simd: ["--enable", "simd", "--enable", "threads"],
  relaxed: ["--enable", "simd", "--enable", "threads", "--enable", "relaxed-simd"],
};
for (const [name, flags] of Object.entries(variants)) {
  const file = join(out, `${name}.wasm`);
  const { error, stderr } = await asc.main(
    [
      ...entries,
      ...flags,
      "--outFile",
      relative(root, file),
      "--runtime",
      "stub",
      "--importMemory",
      "--sharedMemory",
      "--initialMemory",
      "1",
      "--maximumMemory",
      "65536",
      "--exportTable",
      "--optimizeLevel",
      "3",
      "--shrinkLevel",
      "0",
      "--noAssert",
      "--converge",
      "--use",
      "abort=",
      // Data segments stay out of the arena: the runtime starts allocating above this.
      "--memoryBase",
      "1024",
    ],
    {
      readFile: (path, base) => {
        const full = join(base === "." ? root : join(root, base ?? ""), path);
        return existsSync(full) ? readFileSync(full, "utf8") : null;
      },
    },
  );
  if (error) {
    process.stderr.write(stderr.toString());
    process.exit(1);
  }
}
writeFileSync(stamp, digest);
