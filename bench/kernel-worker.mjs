// A thread of bench/kernels.ts: runs its share of each kernel that the main thread announces.
import { parentPort, workerData } from "node:worker_threads";

const { memory, module, thread, names, words } = workerData;
const { generation, pending, kernel, threads, args } = words;
const { exports } = new WebAssembly.Instance(module, { env: { memory } });
const control = new Int32Array(memory.buffer);
let seen = Atomics.load(control, generation);
parentPort?.postMessage("ready");
for (;;) {
  for (let spins = 0; Atomics.load(control, generation) === seen; spins++) {
    if (spins > 20_000) Atomics.wait(control, generation, seen);
  }
  seen = Atomics.load(control, generation);
  const count = control[threads] ?? 1;
  const run = /** @type {(args: number, thread: number, threads: number) => void} */ (
    exports[names[control[kernel] ?? 0]]
  );
  if (thread < count) run(args, thread, count);
  Atomics.sub(control, pending, 1);
}
