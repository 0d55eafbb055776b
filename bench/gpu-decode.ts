// What does a decoding step cost besides the GPU's work? `npx tsx bench/gpu-decode.ts`: the JavaScript time of a step (inputs written,
// commands encoded, submitted, results copied) of models of 24 layers, their dispatches, and the time of a whole step. Sizes
// are small, so that on a software device the GPU's own work leaves the processor to us.
import { createModel } from "../src/model/create.ts";
import { currentGpuHost } from "../src/runtime/webgpu/host.ts";
import { createWebGpuRuntime } from "../src/runtime/webgpu/runtime.ts";
import { formatTable, median } from "./harness.ts";

const STEPS = 40;
/** Milliseconds that the thread computed since a step began: what it waits for is not counted. */
let waited = 0;

const host = await currentGpuHost();
const runtime = await createWebGpuRuntime(
  { adapter: "software" },
  {
    ...host,
    // Where the runtime waits for the device.
    async pace(work) {
      const start = performance.now();
      try {
        return await work;
      } finally {
        waited += performance.now() - start;
      }
    },
  },
);
console.log(runtime.description);

const layers = {
  Mamba: "M{24}",
  "Mamba-2": "S{24}",
  "attention and MLP": "(AF){12}",
  hybrid: "(MFSFAF){4}",
};
const rows = [["24 layers", "dispatches", "JavaScript, median", "least", "whole step"]];
for (const [name, pattern] of Object.entries(layers)) {
  const yaml = `
name: decode
d_model: 64
vocab_size: 256
blocks:
  M: {mixer: {type: mamba, d_state: 8}}
  S: {mixer: {type: mamba2, n_heads: 4, head_dim: 32, d_state: 16}}
  A: {mixer: {type: attention, n_heads: 4, n_kv_heads: 2, rope: true}}
  F: {ffn: {type: mlp, d_ff: 128, gated: true}}
layers: "${pattern}"
`;
  const model = await createModel(yaml, { runtime });
  const dispatches = (await model.explain({ length: 1 })).reduce((sum, { kernels }) => sum + kernels.length, 0);
  const state = model.createState();
  const own: number[] = [];
  const whole: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    waited = 0;
    const start = performance.now();
    await model.forward([step], { state });
    const all = performance.now() - start;
    // The first steps compile.
    if (step < 5) continue;
    own.push(all - waited);
    whole.push(all);
  }
  const milliseconds = (value: number): string => `${value.toFixed(2)} ms`;
  const least = Math.min(...own);
  rows.push([name, String(dispatches), milliseconds(median(own)), milliseconds(least), milliseconds(median(whole))]);
}
console.log(formatTable(rows));
await runtime.close();
process.exit(0);
