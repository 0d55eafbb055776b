// The library. Everything here runs in Node and in browsers; what needs files is in "hybraid/node".

export { buildForward, buildLoss, buildObjective } from "./blocks/model.ts";
export { type Batch, type BatchSource, evaluationBatches, textBatches } from "./data/batches.ts";
export { Random } from "./data/random.ts";
export { createTask, TASKS } from "./data/tasks/index.ts";
export { byteTokenizer, huggingFaceTokenizer, type Tokenizer } from "./data/tokenizer.ts";
export {
  Checkpoint,
  chooseFamily,
  exportCheckpoint,
  HuggingFaceError,
  ImportedModel,
  importCheckpoint,
} from "./formats/huggingface/index.ts";
export { makeGraph } from "./graph/graph.ts";
export { plan } from "./graph/plan.ts";
export { printGraph } from "./graph/print.ts";
export { GraphError } from "./graph/shape.ts";
export type { Graph, Node, Tensor } from "./graph/types.ts";
export { attentionOnly } from "./inspect/attention-only.ts";
export { stackDiagram } from "./inspect/diagram.ts";
export { type Inspection, type InspectOptions, inspect } from "./inspect/inspect.ts";
export { inspectionPage } from "./inspect/page.ts";
export { drawStack } from "./inspect/picture.ts";
export { createModel, type ModelOptions } from "./model/create.ts";
export { ModelError } from "./model/error.ts";
export { type ForwardOptions, type ForwardResult, type GenerateOptions, Model } from "./model/model.ts";
export { ModelState } from "./model/state.ts";
export { differentiate } from "./ops/gradients.ts";
export { optimise } from "./ops/passes/optimise.ts";
export { type LinePlot, linePlot } from "./plot/line-plot.ts";
export { formatNumber, type NumberFormat } from "./plot/ticks.ts";
export { createRuntime, type Device, devices } from "./runtime/index.ts";
export { type Buffer, type Program, type Runtime, RuntimeError } from "./runtime/types.ts";
export { type Diagnostic, formatDiagnostics, SpecError } from "./spec/diagnostic.ts";
export { checkSpec, defineSpec, loadSpec, stringifySpec } from "./spec/load.ts";
export type { ArchitectureFile } from "./spec/types.generated.ts";
export type { ArchitectureSpec } from "./spec/types.ts";
export { smooth } from "./train/metrics.ts";
export { learningRateFactor, type Schedule } from "./train/schedule.ts";
export { DivergedError, Trainer, type TrainerOptions } from "./train/trainer.ts";
