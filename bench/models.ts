// Whole models against onnxruntime, natively and in WebAssembly: prefill of 512 tokens and decoding, logits of the last
// position, random weights, float32, 2 threads. `npx tsx bench/models.ts [W1 W2 W3] [--rounds 7] [--json file]`
// The peers are the graphs of bench/onnx-models.ts; before anything is timed their logits are compared with ours.
import * as native from "onnxruntime-node";
import * as web from "onnxruntime-web";
import { createModel } from "../src/model/create.ts";
import type { Model } from "../src/model/model.ts";
import { loadSpecFile } from "../src/spec/node/files.ts";
import type { ArchitectureSpec } from "../src/spec/types.ts";
import { type Contender, Report, race } from "./harness.ts";
import { KernelBench } from "./kernels.ts";
import { buildOnnxModel } from "./onnx-models.ts";
import { decodeBytes, productFlops, type Weights } from "./work.ts";
import { chosen, DECODE, DECODE_PROMPT, PROMPT, rounds, THREADS, tokensFrom } from "./workloads.ts";

type Values = Readonly<Record<string, native.Tensor | web.Tensor>>;

/** onnxruntime, native or WebAssembly: the two packages have the same interface but not the same types. */
interface Peer {
  readonly name: string;
  load(model: Uint8Array): Promise<PeerSession>;
  tensor(
    type: "float32" | "int32" | "int64",
    data: Float32Array | Int32Array | BigInt64Array,
    dims: number[],
  ): Values[string];
}

interface PeerSession {
  run(feeds: Values): Promise<Values>;
  release(): Promise<void>;
}

const options = {
  logSeverityLevel: 3,
  intraOpNumThreads: THREADS,
  interOpNumThreads: 1,
  graphOptimizationLevel: "all",
} as const;
web.env.wasm.numThreads = THREADS;
const peers: readonly Peer[] = [
  {
    name: "onnxruntime-node",
    load: async (model) => {
      const session = await native.InferenceSession.create(model, { ...options, executionProviders: ["cpu"] });
      return {
        run: (feeds) => session.run(feeds as Record<string, native.Tensor>),
        release: () => session.release(),
      };
    },
    tensor: (type, data, dims) => new native.Tensor(type as "float32", data as Float32Array, dims),
  },
  {
    name: "onnxruntime-web (WebAssembly)",
    load: async (model) => {
      const session = await web.InferenceSession.create(model, { ...options, executionProviders: ["wasm"] });
      return {
        run: (feeds) => session.run(feeds as Record<string, web.Tensor>),
        release: () => session.release(),
      };
    },
    tensor: (type, data, dims) => new web.Tensor(type as "float32", data as Float32Array, dims),
  },
];

const hasAttention = (spec: ArchitectureSpec): boolean =>
  spec.layers.some((layer) => layer.branches[0]?.operator.type === "attention");

/** Feeds of a call whose last token is at `position`. */
function feedsFor(
  peer: Peer,
  tokens: Int32Array,
  position: number,
  spec: ArchitectureSpec,
): Record<string, Values[string]> {
  const ids = peer.tensor("int64", BigInt64Array.from(tokens, BigInt), [1, tokens.length]);
  if (!hasAttention(spec)) return { tokens: ids };
  const at = (value: number, dims: number[]) => peer.tensor("int32", Int32Array.of(value), dims);
  return { tokens: ids, last_key: at(position, [1]), total_length: at(position + 1, []) };
}

/** Largest difference relative to the largest logit. */
function difference(ours: Float32Array, theirs: Values[string] | undefined): number {
  const data = theirs?.data as Float32Array;
  if (data.length !== ours.length) throw new Error(`${data.length} logits instead of ${ours.length}`);
  let [largest, error] = [0, 0];
  for (const [i, value] of ours.entries()) {
    largest = Math.max(largest, Math.abs(value));
    error = Math.max(error, Math.abs(value - (data[i] ?? Number.NaN)));
  }
  return error / largest;
}

function check(name: string, ours: Float32Array, theirs: Values[string] | undefined): void {
  const error = difference(ours, theirs);
  if (!(error < 1e-3)) throw new Error(`${name}: logits differ by ${error} of the largest`);
  console.log(`  ${name}: logits agree to ${error.toExponential(1)}`);
}

async function prefillPeer(peer: Peer, spec: ArchitectureSpec, weights: Weights, ours: Float32Array) {
  const session = await peer.load(buildOnnxModel(spec, weights, PROMPT).model);
  const feeds = feedsFor(peer, tokensFrom(0, PROMPT, spec), PROMPT - 1, spec);
  check(`${peer.name}, prefill`, ours, (await session.run(feeds)).logits);
  return { name: peer.name, run: () => session.run(feeds), release: () => session.release() };
}

/** One run decodes DECODE tokens after a prompt of DECODE_PROMPT. */
async function decodePeer(peer: Peer, spec: ArchitectureSpec, weights: Weights, ours: Float32Array) {
  const { model, shapes } = buildOnnxModel(spec, weights, 1);
  const session = await peer.load(model);
  const step = async (position: number, states: Values): Promise<[Values, Values[string] | undefined]> => {
    const feeds = feedsFor(peer, tokensFrom(position, 1, spec), position, spec);
    const results = await session.run({ ...feeds, ...states });
    const next = [...shapes.keys()].map((name) => [`past.${name}`, results[`present.${name}`]] as const);
    return [Object.fromEntries(next) as Values, results.logits];
  };
  const empty = [...shapes].map(([name, dims]) => {
    const data = new Float32Array(dims.reduce((n, d) => n * d, 1));
    return [`past.${name}`, peer.tensor("float32", data, [...dims])] as const;
  });
  let start: Values = Object.fromEntries(empty);
  let logits: Values[string] | undefined;
  for (let i = 0; i < DECODE_PROMPT; i++) [start, logits] = await step(i, start);
  check(`${peer.name}, decoding`, ours, logits);
  const run = async (): Promise<void> => {
    let states = start;
    for (let i = 0; i < DECODE; i++) [states] = await step(DECODE_PROMPT + i, states);
  };
  return { name: peer.name, run, release: () => session.release() };
}

/** Ours: prefill from a fresh state, which is then kept, as it would be before decoding. */
function ourPrefill(model: Model, name: string): Contender & { logits(): Promise<Float32Array> } {
  const tokens = tokensFrom(0, PROMPT, model.spec);
  const run = async () => {
    const state = model.createState(1, { context: PROMPT });
    return (await model.forward(tokens, { state, logits: "last" })).logits;
  };
  return { name, run, logits: run };
}

async function ourDecode(model: Model, name: string) {
  const { spec } = model;
  const start = model.createState(1, { context: DECODE_PROMPT + DECODE });
  const { logits } = await model.forward(tokensFrom(0, DECODE_PROMPT, spec), { state: start, logits: "last" });
  const run = async (): Promise<void> => {
    const state = await start.clone();
    for (let i = 0; i < DECODE; i++)
      await model.forward(tokensFrom(DECODE_PROMPT + i, 1, spec), { state, logits: "last" });
  };
  return { name, run, logits };
}

/** What the machine can do at most: bytes read and multiply-adds done per second by as many threads. */
async function ceilings(work: { readonly bytes: number; readonly flops: number }): Promise<readonly Contender[]> {
  const megabytes = Math.ceil(work.bytes / 2 ** 20) + 2;
  const bench = await KernelBench.start("relaxed", THREADS, megabytes);
  const { address, data } = bench.allocate(Math.ceil(work.bytes / 4));
  // Pages that were never written are all one page, which is always in cache.
  data.fill(1);
  const out = bench.allocate(64).address;
  const steps = Math.round(work.flops / 80 / THREADS);
  return [
    work.flops > 0
      ? {
          name: "floor: multiply-adds of the products in registers",
          run: () => bench.run("bench_multiply_add", [out, steps]),
        }
      : { name: "floor: reading the weights", run: () => bench.run("bench_read", [address, out, work.bytes / 4]) },
  ];
}

const report = new Report("models");
for (const [key, file] of chosen) {
  const spec = loadSpecFile(new URL(`../architectures/bench/${file}.yaml`, import.meta.url).pathname);
  console.log(`${key}: ${spec.name}`);
  const model = await createModel(spec, { device: "wasm", threads: THREADS });
  const weights: Weights = await model.weights();
  const single = await createModel(spec, {
    device: "wasm",
    threads: 1,
    weights: new Map([...weights].map(([name, { data }]) => [name, data])),
  });
  const [prefill, one] = [ourPrefill(model, "hybraid"), ourPrefill(single, "hybraid, 1 thread")];
  const prefillPeers = [];
  for (const peer of peers) prefillPeers.push(await prefillPeer(peer, spec, weights, await prefill.logits()));
  const flops = productFlops(weights) * PROMPT + 2 * spec.vocab_size * spec.d_model;
  report.add({
    title: `${key} prefill: ${file}, ${PROMPT} tokens`,
    work: PROMPT,
    unit: "tokens",
    timings: await race([prefill, one, ...prefillPeers, ...(await ceilings({ bytes: 4096, flops }))], {
      rounds,
      repeats: 1,
    }),
  });
  for (const peer of prefillPeers) await peer.release();
  const decode = await ourDecode(model, "hybraid");
  const decodeOne = await ourDecode(single, "hybraid, 1 thread");
  const decodePeers = [];
  for (const peer of peers) decodePeers.push(await decodePeer(peer, spec, weights, decode.logits));
  const bytes = decodeBytes(spec, weights);
  const floors = (await ceilings({ bytes, flops: 0 })).map(({ name, run }) => ({
    name: `${name} ${DECODE} times`,
    run: () => {
      for (let i = 0; i < DECODE; i++) run();
    },
  }));
  report.add({
    title: `${key} decoding: ${file}, ${DECODE} tokens after ${DECODE_PROMPT}`,
    work: DECODE,
    unit: "tokens",
    timings: await race([decode, decodeOne, ...decodePeers, ...floors], { rounds, repeats: 1 }),
  });
  for (const peer of decodePeers) await peer.release();
  await model.close();
  await single.close();
}
report.finish();
process.exit(0);
