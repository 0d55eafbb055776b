// How long importing a checkpoint takes and how much memory, and how fast the model then reads and writes.
// `npx tsx bench/huggingface.ts [mamba-130m falcon-h1-0.5b large]`; --write puts the table into docs/performance.md.
// Checkpoints are random, of the shapes of published ones; `large` is 3 GB in float32. Every step is a process of its own, so
// that peaks of memory (resident, program and runtime included) are its own.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chooseFamily } from "../src/formats/huggingface/export.ts";
import { convertConfig, parameterShapes } from "../src/formats/huggingface/import.ts";
import { formatConfigJson } from "../src/formats/huggingface/json.ts";
import { planWeights } from "../src/formats/huggingface/plan.ts";
import { type Dtype, fromFloat32 } from "../src/formats/safetensors/index.ts";
import { writeSafetensorsFile } from "../src/formats/safetensors/node/file.ts";
import { loadModel } from "../src/model/node/files.ts";
import { exportFolder, importFolder } from "../src/model/node/huggingface.ts";
import { loadSpecFile } from "../src/spec/node/files.ts";

type Config = Readonly<Record<string, unknown>>;

const FALCON: Config = {
  ...{ model_type: "falcon_h1", hidden_size: 1024, num_hidden_layers: 36, vocab_size: 32784, intermediate_size: 2048 },
  ...{ num_attention_heads: 8, num_key_value_heads: 2, head_dim: 64, tie_word_embeddings: false },
  ...{ mamba_d_ssm: 1536, mamba_n_heads: 24, mamba_d_head: 64, mamba_d_state: 128, mamba_n_groups: 1 },
};

const CHECKPOINTS: Readonly<Record<string, { readonly config: Config; readonly dtype: "F32" | "BF16" }>> = {
  "mamba-130m": {
    config: { model_type: "mamba", hidden_size: 768, num_hidden_layers: 24, vocab_size: 50280 },
    dtype: "F32",
  },
  "falcon-h1-0.5b": { config: FALCON, dtype: "BF16" },
  large: { config: { ...FALCON, num_hidden_layers: 54, vocab_size: 65536 }, dtype: "F32" },
};

const PROMPT = 256;
const DECODED = 32;

/** Writes a random checkpoint of the family's names and shapes. */
async function write(name: string, folder: string): Promise<object> {
  const checkpoint = CHECKPOINTS[name];
  if (checkpoint === undefined) throw new Error(`no checkpoint ${name}`);
  const { config, dtype } = checkpoint;
  const { table, stack, spec } = convertConfig(config, "config.json", { name });
  const plan = planWeights(table, table.prefixes[0] ?? "", stack, spec.layers, parameterShapes(spec));
  const block = Float32Array.from({ length: 1 << 20 }, (_, i) => 0.02 * Math.sin(1.7 * i));
  const tensors = plan.entries
    .flatMap(([written = []]) => written)
    .map(({ names: [stored = ""], shape }) => {
      const size = shape.reduce((product, length) => product * length, 1);
      function* data() {
        for (let done = 0; done < size; done += block.length) yield fromFloat32(block.subarray(0, size - done), dtype);
      }
      return { name: stored, dtype: dtype as Dtype, shape, data };
    });
  mkdirSync(folder);
  await writeSafetensorsFile(join(folder, "model.safetensors"), tensors, { format: "pt" });
  writeFileSync(join(folder, "config.json"), formatConfigJson(config));
  return { bytes: statSync(join(folder, "model.safetensors")).size };
}

/** Reads a prompt and writes some tokens, greedily. */
async function compute(folder: string): Promise<object> {
  const start = performance.now();
  const model = await loadModel(folder, { device: "wasm" });
  const loaded = performance.now();
  const prompt = Int32Array.from({ length: PROMPT }, (_, i) => (i * 37) % model.spec.vocab_size);
  const prefill = async (): Promise<number> => {
    const before = performance.now();
    await model.forward(prompt, { state: model.createState(1, { context: 512 }), logits: "last" });
    return performance.now() - before;
  };
  await prefill();
  const prefillMs = Math.min(await prefill(), await prefill());
  const state = model.createState(1, { context: 512 });
  await model.forward([1], { state, logits: "last" });
  const before = performance.now();
  for (let i = 0; i < DECODED; i++) await model.forward([i], { state, logits: "last" });
  const decodeMs = (performance.now() - before) / DECODED;
  await model.close();
  return { load: (loaded - start) / 1000, prefill: (1000 * PROMPT) / prefillMs, decode: 1000 / decodeMs };
}

const steps: Readonly<Record<string, (name: string, folder: string) => Promise<object>>> = {
  write: (name, folder) => write(name, join(folder, "source")),
  import: async (_, folder) => {
    await importFolder(join(folder, "source"), join(folder, "model"));
    return {};
  },
  export: async (_, folder) => {
    const spec = loadSpecFile(join(folder, "model", "architecture.yaml"));
    await exportFolder(join(folder, "model"), join(folder, "exported"), spec, chooseFamily(spec), {
      maxShardBytes: 5e9,
    });
    return {};
  },
  compute: (_, folder) => compute(join(folder, "model")),
};

interface Measured {
  readonly seconds: number;
  readonly peakMiB: number;
  readonly [figure: string]: number;
}

/** Runs a step in a process of its own. */
function measure(step: string, name: string, folder: string): Measured {
  const args = ["--import", "tsx", fileURLToPath(import.meta.url), "--step", step, name, folder];
  const { stdout, status } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`${step} of ${name} ended with ${status}`);
  return JSON.parse(stdout) as Measured;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { step: { type: "string" }, write: { type: "boolean", default: false } },
});

if (values.step !== undefined) {
  const [name = "", folder = ""] = positionals;
  const start = performance.now();
  const figures = await steps[values.step]?.(name, folder);
  const seconds = (performance.now() - start) / 1000;
  // In KiB on Linux.
  const peakMiB = process.resourceUsage().maxRSS / 1024;
  process.stdout.write(JSON.stringify({ seconds, peakMiB, ...figures }));
  process.exit(0);
}

const rows: string[] = [];
for (const name of positionals.length === 0 ? Object.keys(CHECKPOINTS) : positionals) {
  const folder = mkdtempSync(join(tmpdir(), "hybraid-bench-hf-"));
  try {
    const { bytes = 0 } = measure("write", name, folder);
    const imported = measure("import", name, folder);
    const exported = measure("export", name, folder);
    // Weights are computed with in float32: what takes more than the 4 GiB of WebAssembly is imported only.
    const computed = name === "large" ? undefined : measure("compute", name, folder);
    const cells = [
      ...[name, `${(bytes / 1e9).toFixed(2)} GB ${CHECKPOINTS[name]?.dtype.toLowerCase()}`],
      ...[`${imported.seconds.toFixed(1)} s, ${imported.peakMiB.toFixed(0)} MiB`],
      ...[`${exported.seconds.toFixed(1)} s, ${exported.peakMiB.toFixed(0)} MiB`],
      computed === undefined ? "" : `${computed.load?.toFixed(1)} s, ${computed.peakMiB.toFixed(0)} MiB`,
      ...["prefill", "decode"].map((figure) => computed?.[figure]?.toFixed(figure === "prefill" ? 0 : 1) ?? ""),
    ];
    rows.push(`| ${cells.join(" | ")} |`);
    console.log(rows.at(-1));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (values.write) {
  const page = fileURLToPath(new URL("../docs/performance.md", import.meta.url));
  const table = [
    "| checkpoint | weights | import | export | load | prefill, tokens/s | decode, tokens/s |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
  ];
  const section = /<!-- huggingface -->[\s\S]*?<!-- \/huggingface -->/;
  writeFileSync(
    page,
    readFileSync(page, "utf8").replace(section, `<!-- huggingface -->\n${table.join("\n")}\n<!-- /huggingface -->`),
  );
}
