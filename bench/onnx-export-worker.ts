// Exports one model in a process of its own (on Linux), for bench/onnx-export.ts: `onnx-export-worker.ts FROM OUT` prints seconds, bytes
// written, and the memory that the process had at most and before it began.
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { exportOnnx } from "../src/model/node/onnx.ts";

const [from = "", out = ""] = process.argv.slice(2);
const before = process.memoryUsage().rss;
const start = performance.now();
const { bytes } = await exportOnnx(from, out, {
  dialect: "ort",
  logits: "last",
  name: "model",
  verify: false,
  bytes: false,
  version: "bench",
});
const seconds = (performance.now() - start) / 1000;
// Not what resourceUsage() says, which counts the process that this one was started from.
const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
console.log(JSON.stringify({ seconds, bytes, peak: Number(kilobytes) * 1024, before }));
