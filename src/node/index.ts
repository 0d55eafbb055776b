// The part of the library that works with files: "hybraid/node".

export { openHuggingFace } from "../formats/huggingface/node/folder.ts";
export { loadModel, loadState, openModel, saveModel, saveState } from "../model/node/files.ts";
export { exportFolder, importFolder } from "../model/node/huggingface.ts";
export { checkSpecFile, loadSpecFile } from "../spec/node/files.ts";
export { readLatest, saveCheckpoint } from "../train/node/checkpoints.ts";
export { loadRunFile } from "../train/node/config.ts";
export { openRunData } from "../train/node/data.ts";
