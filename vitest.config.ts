import { defineConfig } from "vitest/config";
import { bundleWgsl } from "./scripts/bundle-wgsl.mjs";
import { softwareGpuEnvironment } from "./scripts/software-gpu.mjs";

// Workers inherit this environment; it has to be there before they start.
Object.assign(process.env, softwareGpuEnvironment());
// The GPU's kernels are only texts: tests see every edit. (The CPU's are built by `npm run build:kernels`.)
bundleWgsl();

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: "forks",
    // Output is compared as text; picocolors colours it wherever the environment says CI.
    env: { NO_COLOR: "1" },
    // Two cores: the wasm runtime's own threads are what should fill them.
    maxWorkers: 2,
  },
});
