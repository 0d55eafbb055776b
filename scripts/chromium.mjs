// A browser for tests: the Chromium of the package @sparticuz/chromium, with the libraries and fonts that a bare Linux lacks and
// a software GPU. Nothing of it is installed; it is unpacked under node_modules/.cache. (The package's own unpacking writes to
// fixed names in /tmp and takes half-written files for whole ones.)
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const archives = join(root, "node_modules/@sparticuz/chromium/bin");

/** @param {string} name */
const unpacked = (name) => brotliDecompressSync(readFileSync(join(archives, name)));

/** Unpacks the browser once. @returns its folder, or undefined where the package has none for this system */
function chromiumFolder() {
  if (process.platform !== "linux" || process.arch !== "x64" || !existsSync(archives)) return undefined;
  const { version } = JSON.parse(readFileSync(join(archives, "../package.json"), "utf8"));
  const folder = join(root, `node_modules/.cache/hybraid-chromium-${version}`);
  if (existsSync(join(folder, "chromium"))) return folder;
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  // lib/ holds shared libraries, fonts/ fonts; SwiftShader has to lie beside the program.
  for (const name of ["al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br"])
    execFileSync("tar", ["-x", "--no-same-owner", "-C", draft], { input: unpacked(name) });
  writeFileSync(join(draft, "chromium"), unpacked("chromium.br"), { mode: 0o755 });
  writeFileSync(
    join(draft, "fonts.conf"),
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<dir prefix="relative">fonts</dir><dir>/usr/share/fonts</dir><cachedir prefix="xdg">fonts</cachedir></fontconfig>`,
  );
  try {
    renameSync(draft, folder);
  } catch {
    // Another process was faster.
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

/**
 * What playwright-core's `chromium.launch` needs to start a headless browser with WebGPU on a software adapter; undefined where
 * the package has no browser for this system.
 */
export function chromiumOptions() {
  const folder = chromiumFolder();
  if (folder === undefined) return undefined;
  const { VK_ICD_FILENAMES: _, ...environment } = process.env;
  const libraries = [join(folder, "lib"), process.env.LD_LIBRARY_PATH].filter(Boolean).join(":");
  return {
    executablePath: join(folder, "chromium"),
    env: {
      ...environment,
      LD_LIBRARY_PATH: libraries,
      FONTCONFIG_FILE: join(folder, "fonts.conf"),
      XDG_CACHE_HOME: join(folder, "cache"),
    },
    args: [
      "--no-sandbox",
      "--enable-unsafe-webgpu",
      "--use-webgpu-adapter=swiftshader",
      "--enable-features=Vulkan",
      // As in src/runtime/webgpu/node/host.ts: with this extension SwiftShader takes seconds for each kernel.
      "--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension",
    ],
  };
}
