// The goals that this project set itself, as questions to the results of the benchmarks.

export interface Goal {
  readonly goal: string;
  /** Name of the benchmark, and how the title of the section begins. */
  readonly benchmark: string;
  readonly section: string;
  readonly ours: string;
  /** How many times as fast as the contender whose name begins like this; undefined: work per second. */
  readonly than?: string;
  readonly least: number;
  readonly unit: string;
}

/** Two threads against one. */
function scaling(goal: string, benchmark: string, section: string, ours = "hybraid"): Goal {
  return {
    goal: `${goal}: 2 threads`,
    benchmark,
    section,
    ours,
    than: `${ours}, 1 thread`,
    least: 1.7,
    unit: "× 1 thread",
  };
}

const native = "onnxruntime-node";
const web = "onnxruntime-web";
const square = { benchmark: "matmul", section: "1024 ×", ours: "hybraid, packed weight" };
const scan = { benchmark: "selective-scan", section: "prefill, 512 tokens, Δ as", ours: "hybraid" };
const linear = { benchmark: "linear-attention", section: "Mamba-2: gated", ours: "hybraid" };
const full = { benchmark: "attention", section: "causal, 8 heads over 2, d = 64, T = 1024", ours: "hybraid" };
const windowed = { benchmark: "attention", section: "the same in a window of 256", ours: "hybraid" };

export const kernelGoals: readonly Goal[] = [
  { ...square, goal: "matmul 1024³", than: "ceiling: multiply-adds", least: 0.75, unit: "of the FMA ceiling" },
  { ...square, goal: "matmul 1024³", than: "tfjs-backend-wasm", least: 2.5, unit: "× tfjs-backend-wasm" },
  { ...scan, goal: "Mamba-1 scan, 512 × 1536 × 16", than: native, least: 8, unit: "× onnxruntime-node" },
  { ...scan, goal: "Mamba-1 scan, 512 × 1536 × 16", than: "plain TypeScript", least: 10, unit: "× plain TypeScript" },
  {
    ...linear,
    goal: "gated linear attention, 24 × 128 × 64, T = 512",
    than: native,
    least: 0.8,
    unit: "× onnxruntime-node",
  },
  { ...full, goal: "attention, T = 1024", than: native, least: 0.8, unit: "× onnxruntime-node" },
  { ...windowed, goal: "attention, T = 1024, window 256", than: native, least: 0.8, unit: "× onnxruntime-node" },
  scaling("matmul 1024³", "matmul", square.section, square.ours),
  scaling("Mamba-1 scan", "selective-scan", scan.section),
  scaling("gated linear attention", "linear-attention", linear.section),
  scaling("attention, T = 1024", "attention", full.section),
  scaling("attention, window 256", "attention", windowed.section),
];

const gpuPeer = "onnxruntime, WebGPU";
const gpu = (goal: string, benchmark: string, section: string, least: number, than = gpuPeer): Goal => {
  const name = than === gpuPeer ? "onnxruntime" : than;
  return { goal, benchmark: `gpu-${benchmark}`, section, ours: "hybraid", than, least, unit: `× ${name}` };
};
export const gpuGoals: readonly Goal[] = [
  gpu("Mamba-1 scan, 512 × 1536 × 16", "selective-scan", "prefill,", 15),
  gpu("gated linear attention, 24 × 128 × 64, T = 1024", "linear-attention", "gated, 24 heads", 3),
  gpu("gated delta rule, 16 × 128 × 128, T = 512", "linear-attention", "gated delta, 16 heads", 3),
  gpu("attention, T = 1024", "attention", "causal, 8 heads over 2", 1.2),
  gpu("attention, T = 1024, window 256", "attention", "the same in a window", 1.2),
  gpu("matmul 1024³", "matmul", "1024³", 1.2),
  gpu("matmul 1024³", "matmul", "1024³", 2, "TensorFlow.js"),
];

const models = { W1: [380, 45], W2: [420, 42], W3: [800, 90] } as const;
export const modelGoals: readonly Goal[] = Object.entries(models).flatMap(([name, [prefill, decode]]) => {
  const ahead = { benchmark: "models", section: `${name} prefill`, ours: "hybraid" };
  const after = { benchmark: "models", section: `${name} decoding`, ours: "hybraid" };
  return [
    { ...ahead, goal: `${name} prefill`, least: prefill, unit: "tokens/s" },
    { ...ahead, goal: `${name} prefill`, than: web, least: 2, unit: "× onnxruntime-web" },
    scaling(`${name} prefill`, "models", ahead.section),
    { ...after, goal: `${name} decoding`, least: decode, unit: "tokens/s" },
    scaling(`${name} decoding`, "models", after.section),
  ];
});

const steps = {
  W4a: ["Mamba-1", 8000],
  W4b: ["Mamba-2", 8000],
  W4c: ["Llama-like", 12000],
  W4d: ["hybrid", 8000],
} as const;
export const trainingGoals: readonly Goal[] = Object.entries(steps).flatMap(([name, [what, least]]) => [
  { goal: `${name}, ${what}`, benchmark: "training", section: name, ours: "hybraid", least, unit: "tokens/s" },
  scaling(`${name}, ${what}`, "training", name),
]);

const hand = "by hand";
const exported = "exported, onnxruntime-node";
export const onnxGoals: readonly Goal[] = Object.entries({
  W1: "mamba-130m",
  W2: "mamba2-130m",
  W3: "small-hybrid",
}).flatMap(([key, file]) =>
  (["prefill", "decoding"] as const).map((what) => ({
    goal: `${file}, ${what}`,
    benchmark: "onnx-export",
    section: `${key} exported, ${what}`,
    ours: exported,
    than: hand,
    least: 1,
    unit: "× a graph by hand",
  })),
);
