// Options of mixers and blocks that no architecture file has: steps equal the pass, WebAssembly the reference, and every parameter
// takes part in the loss.
import { afterAll, describe, expect, it } from "vitest";
import { buildForward } from "../../src/blocks/model.ts";
import { createModel } from "../../src/model/create.ts";
import { lossAndGradients } from "../../src/model/gradients.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { loadSpec } from "../../src/spec/load.ts";
import { generator } from "../ops/harness.ts";
import { closeTo, lively } from "./lively.ts";

const reference = createReferenceRuntime();
let shared: Promise<Runtime> | undefined;
const wasm = (): Promise<Runtime> => {
  shared ??= createWasmRuntime({ threads: 2 });
  return shared;
};
afterAll(async () => (await shared)?.close());

const VOCABULARY = 11;
const LENGTH = 13;
const draw = generator(6);
const rows = [0, 1].map(() => Array.from({ length: LENGTH }, () => Math.floor(draw() * VOCABULARY)));

const mixer = (fields: string): string => `blocks: {M: {mixer: {${fields}}}}\nlayers: MM`;

const cases: Readonly<Record<string, string>> = {
  "latent attention with narrow queries, rope, biases and a soft cap": mixer(
    "type: latent_attention, n_heads: 3, kv_rank: 5, q_rank: 6, head_dim: 4, rope_head_dim: 2, value_head_dim: 3, rope: true, bias: true, output_bias: true, softcap: 5",
  ),
  "latent attention in a window, without norms": mixer(
    "type: latent_attention, n_heads: 2, kv_rank: 5, head_dim: 3, rope_head_dim: 4, window: 4, latent_norm: false",
  ),
  "a decay per channel, keys shared by heads": mixer(
    "type: gated_delta, n_heads: 4, n_key_heads: 2, key_head_dim: 3, value_head_dim: 5, decay: channel, bias: true",
  ),
  "a decay per head from few channels": mixer(
    "type: gated_delta, n_heads: 2, key_head_dim: 4, decay_rank: 3, gate_rank: 2, output_gate: sigmoid",
  ),
  "Mamba in three heads with norms inside": mixer("type: mamba, d_inner: 12, n_heads: 3, d_state: 4, inner_norm: true"),
  "Mamba with a bias going in only": mixer("type: mamba, d_state: 4, bias: true, output_bias: false"),
  "Mamba-2 with a bias going out only, and factors": mixer(
    "type: mamba2, head_dim: 4, d_state: 4, output_bias: true, in_proj_scale: {z: 0.5, x: 2, B: 3, C: 0.7, dt: 1.5}",
  ),
  "a recurrent unit of its own width, in one block": mixer(
    "type: rg_lru, n_heads: 1, d_inner: 10, d_conv: 1, bias: false, activation: silu",
  ),
  "a recurrent unit without a bias of the convolution": mixer("type: rg_lru, n_heads: 4, conv_bias: false"),
  "a short convolution with biases": mixer("type: short_conv, d_conv: 4, bias: true, conv_bias: true"),
  "a short convolution of the token itself": mixer("type: short_conv, d_conv: 1"),
  "fading averages wider than the stream": mixer("type: wkv, d_inner: 12"),
  "fading averages without token shift": mixer("type: wkv, token_shift: false"),
  "a gated MLP with token shift and an output gate": `
blocks: {F: {ffn: {type: mlp, d_ff: 12, token_shift: true, output_gate: sigmoid, gate_scale: 0.5, bias: true}}}
layers: FF`,
  "an adapter on every projection of attention, and one for two together": `
blocks:
  A: {mixer: {type: attention, n_heads: 2, output_gate: sigmoid}, adapter: {rank: 2, projections: [q_proj, [k_proj, v_proj], g_proj, o_proj]}}
layers: AA`,
  "adapters of shared blocks": `
blocks:
  A: {shared: true, mixer: {type: mamba, d_state: 4}, adapter: {rank: 2, projections: [in_proj_x, x_proj_B, out_proj]}}
layers: AA`,
  "a side value that is read twice, and made anew": `
embedding: {norm: {type: layer_norm}}
blocks:
  A: {output: side, mixer: {type: rg_lru, n_heads: 2}}
  B: {input: side, mixer: {type: wkv}}
  C: {input: stream_plus_side, residual: {source: normed}, mixer: {type: short_conv}}
  D: {input: stream_and_embedding, output: side, ffn: {type: linear, bias: true}, out_scale: 0.5}
  E: {input: side, norm: false, residual: {scale: 2}, ffn: {type: linear}}
layers: ABCDE`,
};

describe.each(Object.entries(cases))("%s", (_, text) => {
  const spec = loadSpec(`name: options\nd_model: 8\nvocab_size: ${VOCABULARY}\nhead: {tied: false}\n${text}`);
  const weights = lively(spec);

  it("gives the same logits in one pass, in steps and in chunks, on WebAssembly as on the reference", async () => {
    const exact = await createModel(spec, { runtime: reference, weights });
    const model = await createModel(spec, { runtime: await wasm(), weights });
    const expected = (await exact.forward(rows)).logits;
    closeTo((await model.forward(rows)).logits, expected, 2e-5);
    for (const size of [1, 5]) {
      const state = model.createState(2, { context: 2 });
      for (let from = 0; from < LENGTH; from += size) {
        const to = Math.min(LENGTH, from + size);
        const { logits } = await model.forward(
          rows.map((row) => row.slice(from, to)),
          { state },
        );
        const width = (to - from) * VOCABULARY;
        for (const b of [0, 1]) {
          const at = (b * LENGTH + from) * VOCABULARY;
          closeTo(logits.subarray(b * width, (b + 1) * width), expected.subarray(at, at + width), 2e-5);
        }
      }
    }
    await exact.close();
    await model.close();
  });

  it("has a gradient for every parameter, the same with states as without", async () => {
    const tokens = Int32Array.from(rows.flat());
    const ours = await lossAndGradients(spec, await wasm(), weights, tokens, [2, LENGTH]);
    const theirs = await lossAndGradients(spec, reference, weights, tokens, [2, LENGTH]);
    const names = buildForward(spec, { stateful: true }).parameters.map(({ name }) => name);
    expect([...theirs.gradients.keys()].sort()).toEqual([...names].sort());
    for (const [name, gradient] of theirs.gradients) {
      const scale = gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(scale, name).toBeGreaterThan(0);
      const worst = gradient.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - (ours.gradients.get(name)?.[i] ?? Number.NaN))),
        0,
      );
      expect(worst / scale, name).toBeLessThan(1e-3);
    }
  });
});

it("adapters change nothing before they are trained", async () => {
  const text = (adapter: string): string => `
name: fresh
d_model: 8
vocab_size: ${VOCABULARY}
blocks:
  A: {mixer: {type: attention, n_heads: 2}${adapter}}
layers: A
`;
  const plain = await createModel(loadSpec(text("")), { runtime: reference });
  const adapted = await createModel(loadSpec(text(", adapter: {rank: 2, projections: [q_proj, v_proj]}")), {
    runtime: reference,
  });
  expect((await adapted.forward(rows)).logits).toEqual((await plain.forward(rows)).logits);
  await plain.close();
  await adapted.close();
});

it("rotary positions that are stretched by the length of the sequence follow the length that a model is made for", async () => {
  const text = (length: string): string => `
name: long
d_model: 16
vocab_size: ${VOCABULARY}
blocks:
  A: {mixer: {type: attention, n_heads: 2, rope: {scaling: {type: dynamic, factor: 4, original_max_length: 4${length}}}}}
layers: A
`;
  const weights = lively(loadSpec(text("")));
  const logits = async (spec: string, sequenceLength?: number): Promise<Float32Array> => {
    const model = await createModel(spec, {
      runtime: reference,
      weights,
      ...(sequenceLength ? { sequenceLength } : {}),
    });
    const result = (await model.forward(rows)).logits;
    await model.close();
    return result;
  };
  const plain = await logits(text(""));
  const long = await logits(text(", length: 13"));
  expect(await logits(text(""), LENGTH)).toEqual(long);
  expect(await logits(text(", length: 13"), 2)).toEqual(long);
  expect(long.some((value, i) => Math.abs(value - (plain[i] ?? 0)) > 1e-3)).toBe(true);
});
