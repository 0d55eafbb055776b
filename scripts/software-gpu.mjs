// A GPU for machines without one: SwiftShader, a Vulkan driver that computes on the CPU, which @sparticuz/chromium carries.
// Dawn looks for Vulkan when it is loaded, so the environment has to be set before a process starts.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Unpacks the driver once. @returns its folder, or undefined where the package has none for this system */
export function swiftShaderFolder() {
  const archive = join(root, "node_modules/@sparticuz/chromium/bin/swiftshader.tar.br");
  if (process.platform !== "linux" || process.arch !== "x64" || !existsSync(archive)) return undefined;
  const folder = join(root, "node_modules/.cache/hybraid-swiftshader");
  if (existsSync(join(folder, "vk_swiftshader_icd.json"))) return folder;
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  execFileSync("tar", ["-x", "-C", draft], { input: brotliDecompressSync(readFileSync(archive)) });
  try {
    renameSync(draft, folder);
  } catch {
    // Another process was faster.
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

/** Environment variables for a process that is to find the software GPU; none where a driver was chosen already. */
export function softwareGpuEnvironment() {
  if (process.env.VK_ICD_FILENAMES !== undefined) return {};
  const folder = swiftShaderFolder();
  if (folder === undefined) return {};
  const path = process.env.LD_LIBRARY_PATH;
  return {
    VK_ICD_FILENAMES: join(folder, "vk_swiftshader_icd.json"),
    LD_LIBRARY_PATH: path === undefined ? folder : `${folder}:${path}`,
  };
}
