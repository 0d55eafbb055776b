// Entry of a worker thread in Node.
import { parentPort, workerData } from "node:worker_threads";
import { runWorkerThread } from "../instantiate-worker.js";

runWorkerThread(workerData, () => parentPort?.postMessage("ready"));
