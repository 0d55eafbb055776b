// What every worker thread does, in Node and in browsers: instantiate the kernels on the shared memory, fill the function
// table as kernels.ts does, and run programs until told to end. Plain JavaScript, because a thread's entry file is loaded
// by the engine itself.

/**
 * @typedef {object} WorkerJob
 * @property {WebAssembly.Module} module
 * @property {WebAssembly.Memory} memory
 * @property {number} control address of the executor's control block
 * @property {number} thread number of this thread, 1 or more
 * @property {number} threads
 */

/**
 * @param {WorkerJob} job
 * @param {() => void} ready called once programs can be run
 */
export function runWorkerThread({ module, memory, control, thread, threads }, ready) {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const table = /** @type {WebAssembly.Table} */ (exports.table);
  const names = Object.keys(exports)
    .filter((name) => typeof exports[name] === "function")
    .sort();
  const base = table.grow(names.length);
  for (const [i, name] of names.entries()) table.set(base + i, exports[name]);
  ready();
  const runWorker = /** @type {(control: number, thread: number, threads: number, job: number) => void} */ (
    exports.runWorker
  );
  try {
    runWorker(control, thread, threads, 0);
  } catch {
    // A kernel trapped in this thread. The others find out when they wait for it.
    const markFailed = /** @type {(control: number) => void} */ (exports.markFailed);
    markFailed(control);
  }
}
