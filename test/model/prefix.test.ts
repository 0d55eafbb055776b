// Learned tokens before every sequence, shared keys and common output projections, against models that say the same without them.
import { afterAll, describe, expect, it } from "vitest";
import { buildForward, buildLoss } from "../../src/blocks/model.ts";
import { createModel } from "../../src/model/create.ts";
import { lossAndGradients } from "../../src/model/gradients.ts";
import { prefixIds, withoutPrefix, withPrefix } from "../../src/model/prefix.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { loadSpec } from "../../src/spec/load.ts";
import { generator } from "../ops/harness.ts";
import { closeTo, lively } from "./lively.ts";

const runtime = createReferenceRuntime();
afterAll(() => runtime.close());

const BODY = `
d_model: 8
head: {tied: false}
blocks:
  A: {mixer: {type: attention, n_heads: 2, window: 4, rope: true}}
  M: {mixer: {type: mamba, d_state: 4}}
layers: AM
`;
const PREFIX = 3;
const VOCABULARY = 7;
const prefixed = loadSpec(
  `name: p\nvocab_size: ${VOCABULARY}\nembedding: {scale: 2, prefix_tokens: ${PREFIX}}\n${BODY}`,
);
/** The same model, whose vocabulary has the prefix in it. */
const plain = loadSpec(`name: q\nvocab_size: ${VOCABULARY + PREFIX}\nembedding: {scale: 2}\n${BODY}`);

const weights = lively(prefixed);
const plainWeights = new Map(weights);
plainWeights.delete("embedding.prefix");
const grown = (name: string, tail: Float32Array): Float32Array => {
  const head = weights.get(name) ?? new Float32Array();
  const all = new Float32Array(head.length + tail.length);
  all.set(head);
  all.set(tail, head.length);
  return all;
};
plainWeights.set("embedding.weight", grown("embedding.weight", weights.get("embedding.prefix") ?? new Float32Array()));
plainWeights.set("head.weight", grown("head.weight", new Float32Array(PREFIX * 8)));

const draw = generator(8);
const rows = [0, 1].map(() => Array.from({ length: 9 }, () => Math.floor(draw() * VOCABULARY)));

describe("prefix tokens", () => {
  it("are read before every sequence, whole or in pieces, and not shown in the logits", async () => {
    const model = await createModel(prefixed, { runtime, weights });
    const other = await createModel(plain, { runtime, weights: plainWeights });
    const ids = Array.from(prefixIds(prefixed, 1));
    expect(ids).toEqual([7, 8, 9]);
    const { logits } = await other.forward(rows.map((row) => [...ids, ...row]));
    const wide = VOCABULARY + PREFIX;
    const expected = new Float32Array(2 * 9 * VOCABULARY);
    for (let i = 0; i < 2 * 9; i++) {
      const from = (Math.floor(i / 9) * (9 + PREFIX) + PREFIX + (i % 9)) * wide;
      expected.set(logits.subarray(from, from + VOCABULARY), i * VOCABULARY);
    }
    const whole = await model.forward(rows);
    expect(whole.shape).toEqual([2, 9, VOCABULARY]);
    closeTo(whole.logits, expected, 1e-6);
    const last = await model.forward(rows, { logits: "last" });
    expect(last.shape).toEqual([2, 1, VOCABULARY]);
    closeTo(last.logits.subarray(VOCABULARY), expected.subarray(-VOCABULARY), 1e-6);
    const state = model.createState(2, { context: 2 });
    for (const [from, to] of [
      [0, 1],
      [1, 5],
      [5, 9],
    ] as const) {
      const part = await model.forward(
        rows.map((row) => row.slice(from, to)),
        { state },
      );
      const size = (to - from) * VOCABULARY;
      for (const b of [0, 1]) {
        const at = (b * 9 + from) * VOCABULARY;
        closeTo(part.logits.subarray(b * size, (b + 1) * size), expected.subarray(at, at + size), 1e-6);
      }
    }
    expect(Array.from(state.positions)).toEqual([9, 9]);
    await model.close();
    await other.close();
  });

  it("must be read by all rows of a state, or by none", async () => {
    const model = await createModel(prefixed, { runtime, weights });
    const state = model.createState(2);
    state.positions[1] = 4;
    await expect(model.forward(rows, { state })).rejects.toThrow("of 2 rows 1 have yet to read the prefix");
    await model.close();
  });

  it("learn: their gradients are those of rows of the table", async () => {
    const tokens = Int32Array.from(rows.flat());
    const own = await lossAndGradients(prefixed, runtime, weights, tokens, [2, 9]);
    const gradient = own.gradients.get("embedding.prefix");
    expect(gradient).toHaveLength(PREFIX * 8);
    // By finite differences of the loss.
    for (const at of [0, 5, 17]) {
      const losses = await Promise.all(
        [0.001, -0.001].map(async (step) => {
          const moved = new Map(weights);
          const prefix = Float32Array.from(weights.get("embedding.prefix") ?? []);
          prefix[at] = (prefix[at] ?? 0) + step;
          moved.set("embedding.prefix", prefix);
          return (await lossAndGradients(prefixed, runtime, moved, tokens, [2, 9])).loss;
        }),
      );
      expect(gradient?.[at]).toBeCloseTo(((losses[0] ?? 0) - (losses[1] ?? 0)) / 0.002, 3);
    }
  });

  it("go in and out of rows", () => {
    const values = Int32Array.of(1, 2, 3, 4);
    expect(Array.from(withPrefix(values, 2, Int32Array.of(8, 9)))).toEqual([8, 9, 1, 2, 8, 9, 3, 4]);
    const pairs = Float32Array.from({ length: 16 }, (_, i) => i);
    expect(Array.from(withoutPrefix(pairs, 4, 3, 2))).toEqual([6, 7, 14, 15]);
    expect(withoutPrefix(pairs, 4, 0, 2)).toBe(pairs);
  });
});

describe("shared keys", () => {
  const spec = loadSpec(`
name: s
d_model: 8
vocab_size: 7
blocks:
  A: {mixer: {type: attention, n_heads: 2, n_kv_heads: 1, rope: true}}
  S: {mixer: {type: attention, n_heads: 4, n_kv_heads: 1, head_dim: 4, rope: true, share_kv: true}}
layers: ASS
`);

  it("have no weights and no cache of their own", () => {
    const graph = buildForward(spec, { stateful: true });
    const names = graph.parameters.map(({ name }) => name).filter((name) => /[kv]_proj/.test(name));
    expect(names).toEqual(["layers.0.mixer.k_proj.weight", "layers.0.mixer.v_proj.weight"]);
    expect(graph.states.map(({ name }) => name)).toEqual(["layers.0.mixer.key", "layers.0.mixer.value"]);
  });

  it("get gradients from every layer that reads them", async () => {
    const own = lively(spec);
    const tokens = Int32Array.from(rows.flat());
    const { gradients } = await lossAndGradients(spec, runtime, own, tokens, [2, 9]);
    const silent = new Map(own);
    for (const layer of [1, 2]) silent.set(`layers.${layer}.mixer.o_proj.weight`, new Float32Array(16 * 8));
    const alone = await lossAndGradients(spec, runtime, silent, tokens, [2, 9]);
    const [all, one] = [gradients, alone.gradients].map((g) => g.get("layers.0.mixer.k_proj.weight"));
    expect(all?.some((value, i) => Math.abs(value - (one?.[i] ?? 0)) > 1e-4)).toBe(true);
  });
});

describe("an output projection that branches have in common", () => {
  const text = (fields: string): string => `
name: o
d_model: 8
vocab_size: 7
blocks:
  P:
    ${fields}
    parallel:
      - mixer: {type: attention, n_heads: 2, value_head_dim: 8}
      - mixer: {type: mamba, d_inner: 16, d_state: 4}
layers: P
`;

  it("is the only one", () => {
    const names = buildLoss(loadSpec(text("out_proj: true"))).parameters.map(({ name }) => name);
    expect(names.filter((name) => /(out|o)_proj/.test(name))).toEqual(["layers.0.out_proj.weight"]);
  });

  it("gives what equal projections in each branch give", async () => {
    const common = loadSpec(text("out_proj: true\n    combine: mean"));
    const each = loadSpec(text("combine: mean"));
    const own = lively(common);
    const projection = own.get("layers.0.out_proj.weight") ?? new Float32Array();
    const split = new Map(own);
    split.delete("layers.0.out_proj.weight");
    for (const name of ["0.o_proj", "1.out_proj"]) split.set(`layers.0.parallel.${name}.weight`, projection);
    const models = await Promise.all([
      createModel(common, { runtime, weights: own }),
      createModel(each, { runtime, weights: split }),
    ]);
    const [a, b] = await Promise.all(models.map((model) => model.forward(rows)));
    closeTo(a?.logits ?? new Float32Array(), b?.logits ?? new Float32Array(1), 1e-6);
    for (const model of models) await model.close();
  });
});
