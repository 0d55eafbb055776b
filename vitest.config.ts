import { defineConfig } from "vitest/config";

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
