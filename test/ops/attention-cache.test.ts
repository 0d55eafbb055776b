// attention through ring caches: a sequence in chunks equals the whole, whatever the window, the capacity and the chunks.
import { describe, expect, test } from "vitest";
import { makeGraph } from "../../src/graph/graph.ts";
import { input, state } from "../../src/graph/leaves.ts";
import { sizeOf } from "../../src/graph/shape.ts";
import { attention, attentionOp } from "../../src/ops/attention/op.ts";
import { reference } from "../../src/ops/attention/reference.ts";
import { lower } from "../../src/ops/attention/wasm.ts";
import type { Program, Runtime } from "../../src/runtime/types.ts";
import { createWebGpuRuntime } from "../../src/runtime/webgpu/runtime.ts";
import { type Engine, engines, evaluate, expectClose, feedOf } from "./evaluate.ts";
import { runOn } from "./gpu.ts";
import { testRuntime } from "./harness.ts";
import { type HostInput, runLowered } from "./lowered.ts";

function need<V>(value: V | undefined): V {
  if (value === undefined) throw new Error("missing");
  return value;
}

/** Runs `chunks` of a sequence one after the other through ring caches that start as NaN, and joins the outputs. */
async function inChunks(
  {
    capacity,
    batch,
    heads,
    dims,
    options,
    chunks,
    start,
  }: {
    readonly capacity: number;
    readonly batch: number;
    readonly heads: readonly [number, number];
    readonly dims: readonly [number, number];
    readonly options: { readonly window: number; readonly scale: number };
    readonly chunks: readonly number[];
    /** Position of the first token of every row. */
    readonly start: number;
  },
  whole: ReadonlyMap<string, HostInput>,
  run: (
    inputs: readonly (HostInput | undefined)[],
    attributes: Attributes,
  ) => readonly ArrayLike<number>[] | Promise<readonly ArrayLike<number>[]>,
): Promise<Float64Array> {
  const attributes = { causal: true, softcap: 0, ...options };
  const total = chunks.reduce((a, b) => a + b, 0);
  const result = new Float64Array(batch * total * heads[0] * dims[1]);
  const ring = (channels: number): HostInput => {
    const shape = [batch, capacity, heads[1], channels];
    return { shape, dtype: "f32", data: new Float32Array(sizeOf(shape)).fill(Number.NaN) };
  };
  let [pastKey, pastValue] = [ring(dims[0]), ring(dims[1])];
  let done = 0;
  for (const count of chunks) {
    const part = (name: string): HostInput => {
      const { shape, data } = need(whole.get(name));
      const width = need(shape[2]) * need(shape[3]);
      const rows = Array.from({ length: batch }, (_, b) =>
        Array.from(data).slice((b * total + done) * width, (b * total + done + count) * width),
      );
      return {
        shape: [batch, count, need(shape[2]), need(shape[3])],
        dtype: "f32",
        data: Float32Array.from(rows.flat()),
      };
    };
    const position: HostInput = { shape: [batch], dtype: "i32", data: new Int32Array(batch).fill(start + done) };
    const [y, , key, value] = await run(
      [part("q"), part("k"), part("v"), pastKey, pastValue, position, undefined],
      attributes,
    );
    pastKey = { ...pastKey, data: need(key) };
    pastValue = { ...pastValue, data: need(value) };
    const width = heads[0] * dims[1];
    for (let b = 0; b < batch; b++) {
      result.set(Array.from(need(y)).slice(b * count * width, (b + 1) * count * width), (b * total + done) * width);
    }
    done += count;
  }
  return result;
}

type Attributes = Parameters<typeof reference>[1];

/** The op on the GPU with the caches as states in buffers that start as NaN: each chunk is a run of a program for its length. */
async function gpuRunner(
  runtime: Runtime,
  kernelsAre = /appends to the caches|new rows only/,
): Promise<{
  run(inputs: readonly (HostInput | undefined)[], attributes: Attributes): Promise<readonly ArrayLike<number>[]>;
  free(): void;
}> {
  const programs = new Map<number, Program>();
  const buffers = new Map<string, ReturnType<typeof runtime.buffer>>();
  const compile = (inputs: readonly HostInput[], attributes: Attributes): Promise<Program> => {
    const [q, k, v, pastKey, pastValue, position] = ["q", "k", "v", "past_k", "past_v", "position"].map((leaf, i) => {
      const { shape, dtype } = need(inputs[i]);
      return i === 3 || i === 4 ? state(leaf, shape) : input(leaf, shape, dtype);
    });
    const result = attention(need(q), need(k), need(v), { pastKey, pastValue, position, ...attributes });
    for (const [leaf, i] of [
      ["past_k", 3],
      ["past_v", 4],
    ] as const) {
      const { shape, data } = need(inputs[i]);
      if (!buffers.has(leaf)) buffers.set(leaf, runtime.buffer({ shape, dtype: "f32" }, Float32Array.from(data)));
    }
    const graph = makeGraph({
      outputs: [{ name: "y", tensor: result.output }],
      states: [
        { name: "past_k", input: need(pastKey), output: need(result.presentKey) },
        { name: "past_v", input: need(pastValue), output: need(result.presentValue) },
      ],
    });
    return runtime.compile(graph, { bindings: { B: 1, T: 1, C: 0 }, buffers, poison: true });
  };
  return {
    async run(inputs, attributes) {
      const given = inputs.slice(0, 6).map(need);
      const [q, k, v, pastKey, pastValue, position] = given;
      const tokens = need(need(q).shape[1]);
      const program = programs.get(tokens) ?? (await compile(given, attributes));
      programs.set(tokens, program);
      const kernels = program.explain().flatMap((step) => step.kernels);
      expect(kernels.join()).toMatch(kernelsAre);
      const floats = (value: HostInput | undefined) => Float32Array.from(need(value).data);
      const { y } = await program.run({
        q: floats(q),
        k: floats(k),
        v: floats(v),
        position: Int32Array.from(need(position).data),
      });
      return [need(y), [], need(pastKey).data, need(pastValue).data];
    },
    free() {
      for (const program of programs.values()) program.free();
      for (const buffer of buffers.values()) buffer.free();
    },
  };
}

const splits: Readonly<Record<string, readonly number[]>> = {
  "token by token": Array.from({ length: 41 }, () => 1),
  "a prompt, then tokens": [29, ...Array.from({ length: 12 }, () => 1)],
  "odd chunks": [3, 17, 1, 2, 11, 7],
  "one chunk": [41],
};

/** All outputs with the caches as inputs, which stay as they are. */
function copiedOnGpu(values: readonly (HostInput | undefined)[], attributes: Attributes, engine: Engine) {
  const leaves = values.map((value, i) => value && input(String(i), value.shape, value.dtype));
  const [q, k, v, pastKey, pastValue, position] = leaves;
  const result = attention(need(q), need(k), need(v), { pastKey, pastValue, position, ...attributes });
  const feed = new Map(values.flatMap((value, i) => (value ? [[String(i), value] as const] : [])));
  const { output, logSumExp, presentKey, presentValue } = result;
  return evaluate([output, logSumExp, need(presentKey), need(presentValue)], feed, engine);
}

describe("a sequence in chunks through ring caches equals the whole", () => {
  const heads = [6, 2] as const;
  const dims = [10, 12] as const;
  const batch = 2;
  const tokens = 41;
  const whole = feedOf({
    q: [batch, tokens, heads[0], dims[0]],
    k: [batch, tokens, heads[1], dims[0]],
    v: [batch, tokens, heads[1], dims[1]],
  });
  for (const [what, window, capacity] of [
    ["all keys", 0, 41],
    ["all keys, room to spare", 0, 64],
    ["a window that the cache just holds", 9, 9],
    ["a window smaller than the cache", 9, 16],
    ["a window of one", 1, 1],
    ["a window beyond the sequence", 100, 48],
  ] as const) {
    const options = { window, scale: 0.3 };
    const inputs = ["q", "k", "v"].map((name) => whole.get(name));
    const hosts = inputs.map((value) => value && { ...value, data: Float64Array.from(value.data) });
    const [exact] = reference(hosts, { causal: true, softcap: 0, ...options });
    for (const [how, chunks] of Object.entries(splits)) {
      test(`${what}; ${how}`, async () => {
        const setup = { capacity, batch, heads, dims, options, chunks, start: 0 };
        for (const engine of engines) {
          if (engine.gpu !== undefined) {
            const gpu = await gpuRunner(await testRuntime(engine.gpu));
            expectClose(engine.name, await inChunks(setup, whole, gpu.run), need(exact).data, 2e-5);
            gpu.free();
            continue;
          }
          const actual = await inChunks(setup, whole, (values, attributes) => {
            if (engine.wasm === undefined) {
              const floats = values.map(
                (v) => v && { ...v, data: v.dtype === "i32" ? Int32Array.from(v.data) : Float64Array.from(v.data) },
              );
              return reference(floats, attributes).map((tensor) => tensor.data);
            }
            // The caches are updated where they are.
            const inPlace = [
              [3, 2],
              [4, 3],
            ] as const;
            return runLowered(attentionOp, lower, values, attributes, { ...engine.wasm, inPlace }).map(need);
          });
          expectClose(engine.name, actual, need(exact).data, 2e-5);
        }
      });
    }
  }

  test("and a cache is copied where it may not be overwritten, with more new rows than slots", async () => {
    const shapes = { q: [2, 7, 2, 4], k: [2, 7, 1, 4], v: [2, 7, 1, 6], pk: [2, 5, 1, 4], pv: [2, 5, 1, 6] };
    const feed = feedOf(shapes);
    for (const capacity of [5, 11]) {
      const past = feedOf({ pk: [2, capacity, 1, 4], pv: [2, capacity, 1, 6] }, 5);
      const position: HostInput = { shape: [2], dtype: "i32", data: Int32Array.of(3, 1000) };
      const values = [feed.get("q"), feed.get("k"), feed.get("v"), past.get("pk"), past.get("pv"), position, undefined];
      const attributes = { scale: 0.5, causal: true, window: 0, softcap: 0 };
      const floats = values.map(
        (v) => v && { ...v, data: v.dtype === "i32" ? Int32Array.from(v.data) : Float64Array.from(v.data) },
      );
      const exact = reference(floats, attributes);
      for (const engine of engines) {
        const actual =
          engine.gpu === undefined
            ? engine.wasm && runLowered(attentionOp, lower, values, attributes, engine.wasm)
            : await copiedOnGpu(values, attributes, engine);
        if (actual === undefined) continue;
        for (const [i, tensor] of exact.entries()) expectClose(`output ${i}`, need(actual[i]), tensor.data, 2e-5);
      }
    }
  });
});

describe("caches larger than a binding are read and written in slices", () => {
  const [heads, dims, batch, capacity] = [[2, 1], [16, 8], 2, 512] as const;
  // More tokens than slots: a slice holds keys of two rounds through the ring.
  const tokens = 610;
  const chunks = [...Array.from({ length: 48 }, () => 12), 1, 1, 12, 1, 3, 12, 1, 1, 1, 1];
  const whole = feedOf({
    q: [batch, tokens, heads[0], dims[0]],
    k: [batch, tokens, heads[1], dims[0]],
    v: [batch, tokens, heads[1], dims[1]],
  });
  test.each([0, 77, 400])("within a window of %i", async (window) => {
    const limited = { adapter: "software", limits: "default", subgroups: false, f16: false } as const;
    const runtime = await createWebGpuRuntime({ ...limited, maxBinding: 20480 });
    // All keys that the ring holds: those of a window as long as it.
    const options = { window: window === 0 ? capacity : window, scale: 0.3 };
    const hosts = ["q", "k", "v"].map((name) => {
      const value = need(whole.get(name));
      return { ...value, data: Float64Array.from(value.data) };
    });
    const [exact] = reference(hosts, { causal: true, softcap: 0, ...options });
    const gpu = await gpuRunner(runtime, /new rows only, in slices/);
    const setup = { capacity, batch, heads, dims, options, chunks, start: 0 };
    expectClose("in slices", await inChunks(setup, whole, gpu.run), need(exact).data, 2e-5);
    gpu.free();
    await runtime.close();
  });

  test("or copied, where they are needed afterwards", async () => {
    const runtime = await createWebGpuRuntime({ adapter: "software", limits: "default", maxBinding: 20480 });
    const shapes = {
      ...{ q: [batch, 3, heads[0], dims[0]], k: [batch, 3, heads[1], dims[0]], v: [batch, 3, heads[1], dims[1]] },
      ...{ pastKey: [batch, capacity, heads[1], dims[0]], pastValue: [batch, capacity, heads[1], dims[1]] },
    };
    const feed = feedOf(shapes);
    feed.set("position", { shape: [batch], dtype: "i32", data: Int32Array.of(700, 255) });
    const leaf = (name: string) => input(name, need(feed.get(name)).shape, need(feed.get(name)).dtype);
    const { output, presentKey, presentValue } = attention(leaf("q"), leaf("k"), leaf("v"), {
      ...{ pastKey: leaf("pastKey"), pastValue: leaf("pastValue"), position: leaf("position"), window: 500 },
    });
    const tensors = [output, need(presentKey), need(presentValue)];
    const expected = await evaluate(tensors, feed);
    const { outputs, kernels } = await runOn(runtime, tensors, feed);
    expect(kernels.join()).toContain("a copy: the caches are still needed, in slices");
    for (const i of tensors.keys()) expectClose(`output ${i}`, outputs[i] ?? [], expected[i] ?? [], 2e-5);
    await runtime.close();
  });
});
