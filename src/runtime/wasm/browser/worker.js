// Entry of a worker thread in a browser.
import { runWorkerThread } from "../instantiate-worker.js";

/** @param {MessageEvent} event */
globalThis.onmessage = (event) => runWorkerThread(event.data, () => globalThis.postMessage("ready"));
