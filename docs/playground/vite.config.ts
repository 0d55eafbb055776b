// The playground: one page, the library's own sources, its kernels as assets. `npm run playground` serves it while it is edited,
// `npm run build:playground` writes it to dist/playground, from where any static server can serve it.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** What makes a page cross-origin isolated: without it browsers share no memory between threads, and wasm runs on one. */
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  root: here("."),
  base: "./",
  publicDir: false,
  server: { headers, fs: { allow: [here("../..")] } },
  preview: { headers },
  // Threads import instantiate-worker.js, and the training thread starts threads itself.
  worker: { format: "es" },
  build: {
    outDir: here("../../dist/playground"),
    emptyOutDir: true,
    target: "es2023",
    // Kernels are fetched; inlined ones would be decoded for nothing.
    assetsInlineLimit: 0,
    // The library with its checker of architectures, twice: in the page and in its worker.
    chunkSizeWarningLimit: 1000,
  },
});
