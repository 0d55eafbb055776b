// The Hugging Face room: what other rooms may use of it. Folders on disk are under node/.
export { Checkpoint } from "./checkpoint.ts";
export { HuggingFaceError } from "./error.ts";
export { chooseFamily, type Export, type ExportOptions, exportCheckpoint, type Fit, fitFamily } from "./export.ts";
export { convertConfig, ImportedModel, type ImportOptions, importCheckpoint } from "./import.ts";
