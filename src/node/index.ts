// The part of the library that works with files: "hybraid/node".

export { loadModel, loadState, saveModel, saveState } from "../model/node/files.ts";
export { checkSpecFile, loadSpecFile } from "../spec/node/files.ts";
export { readLatest, saveCheckpoint } from "../train/node/checkpoints.ts";
export { loadRunFile } from "../train/node/config.ts";
export { openRunData } from "../train/node/data.ts";
