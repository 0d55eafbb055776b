import { describe, expect, test } from "vitest";
import { formatDiagnostics } from "../../src/spec/diagnostic.ts";
import type { Resolver } from "../../src/spec/extends.ts";
import { forLength } from "../../src/spec/length.ts";
import { checkSpec, defineSpec, loadSpec, stringifySpec } from "../../src/spec/load.ts";
import { ropeFrequencies } from "../../src/spec/rope.ts";
import type { ArchitectureSpec, MixerSpec, ResolvedLayer } from "../../src/spec/types.ts";

const HEAD = "name: test\nd_model: 64\nvocab_size: 256\n";

function layerOf(spec: ArchitectureSpec, index: number): ResolvedLayer {
  const layer = spec.layers.at(index);
  if (layer === undefined) throw new Error(`no layer ${index}`);
  return layer;
}

/** The one mixer of a file with a single block. */
function mixer<T extends MixerSpec["type"]>(type: T, fields: string, head = HEAD): Extract<MixerSpec, { type: T }> {
  const spec = loadSpec(`${head}blocks: {M: {mixer: {type: ${type}, ${fields}}}}\nlayers: M\n`);
  const operator = layerOf(spec, 0).branches[0]?.operator;
  if (operator?.type !== type) throw new Error(`not a ${type}`);
  return operator as Extract<MixerSpec, { type: T }>;
}

describe("a minimal file", () => {
  const spec = loadSpec(`${HEAD}blocks: {M: {mixer: {type: mamba}}}\nlayers: MM\n`);

  test("has every default filled in", () => {
    const norm = { type: "rms_norm", eps: 1e-5, weight: "learned", bias: false };
    expect(spec).toMatchObject({
      name: "test",
      description: "",
      embedding: { scale: 1, norm: null, prefix_tokens: 0 },
      positions: null,
      final_norm: norm,
      head: { tied: true, bias: false, scale: 1, softcap: null },
      init: { std: 0.02, rescale_residual: true },
    });
    expect(spec.layers[1]).toEqual({
      index: 1,
      block: "M",
      weights: "layers.1",
      input: "stream",
      output: "stream",
      norm,
      post_norm: null,
      in_scale: 1,
      out_scale: 1,
      residual: { source: "stream", scale: 1 },
      combine: "sum",
      out_proj: false,
      branches: [
        {
          name: "mixer",
          in_scale: 1,
          out_scale: 1,
          post_norm: null,
          adapter: null,
          operator: {
            type: "mamba",
            d_inner: 128,
            d_state: 16,
            d_conv: 4,
            dt_rank: 4,
            conv_bias: true,
            n_heads: 1,
            bias: false,
            output_bias: false,
            inner_norm: null,
            dt_min: 0.001,
            dt_max: 0.1,
            dt_init_floor: 0.0001,
          },
        },
      ],
    });
  });

  test("may be JSON", () => {
    const json = JSON.stringify({
      name: "test",
      d_model: 64,
      vocab_size: 256,
      blocks: { M: { mixer: { type: "mamba" } } },
      layers: "MM",
    });
    expect(loadSpec(json)).toEqual(spec);
  });

  test("may be data in a program", () => {
    const blocks = { M: { mixer: { type: "mamba" } } } as const;
    expect(defineSpec({ name: "test", d_model: 64, vocab_size: 256, blocks, layers: "MM" })).toEqual(spec);
    expect(() => defineSpec({ name: "test", d_model: 64, vocab_size: 256, blocks, layers: "MX" })).toThrow(
      '"X" is not a block; allowed: M',
    );
  });
});

describe("derived sizes", () => {
  test("of Mamba follow expand, d_inner and dt_rank", () => {
    expect(mixer("mamba", "expand: 1.5")).toMatchObject({ d_inner: 96, dt_rank: 4 });
    expect(mixer("mamba", "d_inner: 100, dt_rank: 7")).toMatchObject({ d_inner: 100, dt_rank: 7 });
    expect(mixer("mamba", "dt_rank: auto", HEAD.replace("64", "770")).dt_rank).toBe(49);
  });

  test("of Mamba-2 follow the heads, or expand where they are left out", () => {
    expect(mixer("mamba2", "head_dim: 32")).toMatchObject({ n_heads: 4, d_inner: 128 });
    expect(mixer("mamba2", "n_heads: 3, head_dim: 16")).toMatchObject({ n_heads: 3, d_inner: 48 });
    expect(mixer("mamba2", "n_heads: 8, head_dim: 16, expand: 2").d_inner).toBe(128);
  });

  test("of attention follow d_model and n_heads", () => {
    expect(mixer("attention", "n_heads: 4")).toMatchObject({
      n_kv_heads: 4,
      head_dim: 16,
      value_head_dim: 16,
      scale: 0.25,
    });
    expect(mixer("attention", "n_heads: 5, n_kv_heads: 1, head_dim: 8")).toMatchObject({ n_kv_heads: 1, head_dim: 8 });
    expect(mixer("attention", "n_heads: 4, scale: 0.5, window: 7")).toMatchObject({ scale: 0.5, window: 7 });
  });

  test("of rope follow the head", () => {
    expect(mixer("attention", "n_heads: 4, rope: true").rope).toEqual({ theta: 10000, rotary_dim: 16, scaling: null });
    expect(mixer("attention", "n_heads: 4, rope: {fraction: 0.25}").rope?.rotary_dim).toBe(4);
    expect(mixer("attention", "n_heads: 4, rope: false").rope).toBeNull();
    const scaling = "{type: yarn, factor: 4, original_max_length: 512}";
    expect(mixer("attention", `n_heads: 4, rope: {scaling: ${scaling}}`).rope?.scaling).toEqual({
      type: "yarn",
      factor: 4,
      original_max_length: 512,
      beta_fast: 32,
      beta_slow: 1,
      attention_factor: 0.1 * Math.log(4) + 1,
      truncate: true,
    });
  });

  test("of longrope are those for the length", () => {
    const long = "factors: [1, 2, 3, 4], long_factors: [5, 6, 7, 8], original_max_length: 64";
    const last = (scaling: string): number => {
      const { rope } = mixer("attention", `n_heads: 8, rope: {theta: 16, scaling: {type: longrope, ${scaling}}}`);
      return rope === null ? 0 : (ropeFrequencies(rope).frequencies[3] ?? 0);
    };
    expect(last("factors: [1, 2, 3, 4]")).toBeCloseTo(1 / 8 / 4, 12);
    expect(last(long)).toBeCloseTo(1 / 8 / 4, 12);
    expect(last(`${long}, length: 64`)).toBeCloseTo(1 / 8 / 4, 12);
    expect(last(`${long}, length: 65`)).toBeCloseTo(1 / 8 / 8, 12);
  });

  test("of an architecture for long sequences are those for their length", () => {
    const text = (scaling: string): string =>
      `${HEAD}blocks: {A: {mixer: {type: attention, n_heads: 4, rope: {scaling: ${scaling}}}}, M: {mixer: {type: mamba}}}\nlayers: AM\n`;
    const scalingOf = (spec: ArchitectureSpec) => {
      const operator = layerOf(spec, 0).branches[0]?.operator;
      return operator?.type === "attention" ? operator.rope?.scaling : undefined;
    };
    const dynamic = loadSpec(text("{type: dynamic, factor: 2, original_max_length: 64}"));
    expect(scalingOf(forLength(dynamic, 64))).toMatchObject({ length: 64 });
    expect(forLength(dynamic, 64)).toBe(dynamic);
    expect(scalingOf(forLength(dynamic, 100))).toMatchObject({ length: 100 });
    const set = loadSpec(text("{type: dynamic, factor: 2, original_max_length: 64, length: 256}"));
    expect(forLength(set, 100)).toBe(set);
    const linear = loadSpec(text("{type: linear, factor: 2}"));
    expect(forLength(linear, 1e6)).toBe(linear);
  });

  test("of a proportional rope span the head", () => {
    const scaling = "{type: proportional, factor: 2}";
    expect(mixer("attention", `n_heads: 4, rope: {fraction: 0.4, scaling: ${scaling}}`).rope).toEqual({
      theta: 10000,
      rotary_dim: 16,
      scaling: { type: "proportional", factor: 2, pairs: 3 },
    });
  });

  test("of a GRU follow d_model", () => {
    expect(mixer("rnn", "bias: false")).toEqual({ type: "rnn", cell: "gru", d_hidden: 64, bias: false });
  });
});

describe("mixer settings", () => {
  test("inf leaves a clamp open", () => {
    expect(mixer("mamba2", "head_dim: 16").dt_limit).toEqual([0, Number.POSITIVE_INFINITY]);
    expect(mixer("mamba2", "head_dim: 16, dt_limit: [0.001, .inf]").dt_limit).toEqual([
      0.001,
      Number.POSITIVE_INFINITY,
    ]);
    expect(mixer("mamba2", "head_dim: 16, dt_limit: [0.001, inf]").dt_limit).toEqual([0.001, Number.POSITIVE_INFINITY]);
  });

  test("the gated norm of Mamba-2 has an order and groups, or is left out", () => {
    expect(mixer("mamba2", "head_dim: 16").gated_norm).toEqual({ order: "gate_then_norm", groups: 1, eps: 1e-5 });
    const given = mixer("mamba2", "head_dim: 16, gated_norm: {order: norm_then_gate, groups: 2, eps: 1.0e-6}");
    expect(given.gated_norm).toEqual({ order: "norm_then_gate", groups: 2, eps: 1e-6 });
    expect(mixer("mamba2", "head_dim: 16, gated_norm: false").gated_norm).toBeNull();
  });

  test("norms inside mixers take the model's eps but weights of their own", () => {
    const head = `${HEAD}norm: {eps: 1.0e-3, weight: one_plus}\n`;
    expect(mixer("mamba", "inner_norm: true", head).inner_norm).toEqual({
      type: "rms_norm",
      eps: 1e-3,
      weight: "learned",
      bias: false,
    });
    expect(mixer("mamba", "inner_norm: {weight: none, eps: 1.0e-6}", head).inner_norm).toMatchObject({
      weight: "none",
      eps: 1e-6,
    });
    expect(mixer("attention", "n_heads: 4, qk_norm: {over: all}", head).qk_norm).toMatchObject({
      over: "all",
      eps: 1e-3,
    });
    expect(mixer("gated_delta", "n_heads: 4, key_head_dim: 16", head)).toMatchObject({
      n_key_heads: 4,
      value_head_dim: 16,
      output_norm: { weight: "learned", eps: 1e-3 },
      output_gate: "silu",
      qk_eps: 1e-6,
    });
  });

  test("RetNet's heads keep 1 - 2^(-5-h) of their state", () => {
    const { log_decay } = mixer("linear_attention", "n_heads: 4, decay: retnet");
    expect(log_decay?.map(Math.exp)).toEqual(
      [31 / 32, 63 / 64, 127 / 128, 255 / 256].map((x) => expect.closeTo(x, 12)),
    );
  });

  test("lightning slopes shrink with depth among the layers that mix", () => {
    const L = "{mixer: {type: linear_attention, n_heads: 2, decay: lightning}}";
    const spec = loadSpec(`${HEAD}blocks: {L: ${L}, F: {ffn: {type: mlp, d_ff: 8}}}\nlayers: LFLFLF\n`);
    const decays = spec.layers.flatMap(({ branches }) => {
      const operator = branches[0]?.operator;
      return operator?.type === "linear_attention" ? [operator.log_decay] : [];
    });
    const byDepth = (i: number) => 1 - i / (2 + 1e-5) + 1e-5;
    const expected = [0, 1, 2].map((i) => [-(2 ** -4) * byDepth(i), -(2 ** -8) * byDepth(i)]);
    expect(decays).toEqual(expected.map((pair) => pair.map((x) => expect.closeTo(x, 12))));
  });

  test("decays can be given, and none is none", () => {
    expect(mixer("linear_attention", "n_heads: 2, decay: [0.5, 1]").log_decay).toEqual([Math.log(0.5), 0]);
    expect(mixer("linear_attention", "n_heads: 2").log_decay).toBeNull();
  });
});

describe("norms", () => {
  const norms = (head: string, block: string) =>
    loadSpec(`${HEAD}${head}\nblocks: {M: {${block}, mixer: {type: mamba}}}\nlayers: M\n`);

  test("of blocks fill in from the model's", () => {
    const spec = norms("norm: {eps: 1.0e-3, weight: one_plus}", "norm: {eps: 1.0e-2}, post_norm: true");
    expect(layerOf(spec, 0).norm).toMatchObject({ eps: 1e-2, weight: "one_plus" });
    expect(layerOf(spec, 0).post_norm).toMatchObject({ eps: 1e-3, weight: "one_plus" });
    expect(spec.final_norm).toMatchObject({ eps: 1e-3, weight: "one_plus" });
  });

  test("of another type start from that type's defaults", () => {
    const spec = norms("norm: {eps: 1.0e-3, weight: one_plus}\nfinal_norm: {type: layer_norm}", "norm: false");
    expect(spec.final_norm).toEqual({ type: "layer_norm", eps: 1e-5, weight: "learned", bias: true });
    expect(layerOf(spec, 0).norm).toBeNull();
  });

  test("can be left out of a whole model", () => {
    const spec = norms("norm: false", "out_scale: 0.5");
    expect(spec.final_norm).toBeNull();
    expect(layerOf(spec, 0)).toMatchObject({ norm: null, out_scale: 0.5 });
  });
});

describe("layers", () => {
  const blocks = "blocks: {M: {mixer: {type: mamba}}, mlp: {ffn: {type: mlp, d_ff: 64}}}\n";
  const names = (layers: string) => loadSpec(`${HEAD}${blocks}layers: ${layers}\n`).layers.map((layer) => layer.block);

  test("as a list say the same as a pattern", () => {
    const pattern = names('"(M@mlp){2}M"');
    expect(pattern).toEqual(["M", "mlp", "M", "mlp", "M"]);
    expect(names("[M, mlp, M, mlp, M]")).toEqual(pattern);
    expect(names("[[M, mlp], [[M], mlp], M]")).toEqual(pattern);
    expect(names("[{repeat: 2, layers: [M, mlp]}, M]")).toEqual(pattern);
    expect(names("[{repeat: 2, layers: M@mlp}, M]")).toEqual(pattern);
    expect(names('["(M@mlp){2}", M]')).toEqual(pattern);
  });

  test("of a shared block have one scope of weights", () => {
    const S = "{shared: true, mixer: {type: attention, n_heads: 4}}";
    const spec = loadSpec(`${HEAD}blocks: {M: {mixer: {type: mamba}}, S: ${S}}\nlayers: MSMS\n`);
    expect(spec.layers.map((layer) => layer.weights)).toEqual(["layers.0", "shared.S", "layers.2", "shared.S"]);
  });

  test("[A&B] is the parallel block of A and B", () => {
    const A = "{out_scale: 0.5, mixer: {type: mamba}}";
    const B = "{in_scale: 2, post_norm: true, mixer: {type: attention, n_heads: 4}}";
    const spec = loadSpec(`${HEAD}blocks: {A: ${A}, B: ${B}}\nlayers: "[A&B]"\n`);
    const written = loadSpec(`${HEAD}blocks: {P: {parallel: [${A}, ${B}]}}\nlayers: P\n`);
    expect(layerOf(spec, 0).block).toBe("[A&B]");
    expect({ ...layerOf(spec, 0), block: "P" }).toEqual(layerOf(written, 0));
    expect(layerOf(spec, 0).branches.map(({ name, in_scale, out_scale }) => [name, in_scale, out_scale])).toEqual([
      ["parallel.0", 1, 0.5],
      ["parallel.1", 2, 1],
    ]);
    expect(layerOf(spec, 0).branches.map((branch) => branch.post_norm !== null)).toEqual([false, true]);
  });

  test("a block that is not used is a warning", () => {
    const { spec, diagnostics } = checkSpec(`${HEAD}${blocks}layers: M\n`);
    expect(spec).toBeDefined();
    expect(diagnostics).toMatchObject([{ severity: "warning", line: 4, path: "blocks.mlp" }]);
  });
});

describe("overrides", () => {
  const text = (overrides: string) =>
    `${HEAD}blocks: {A: {mixer: {type: attention, n_heads: 4, window: 8, rope: true}}}\nlayers: A{6}\noverrides: ${overrides}\n`;
  const windows = (overrides: string) =>
    loadSpec(text(overrides)).layers.map(({ branches }) => {
      const operator = branches[0]?.operator;
      return operator?.type === "attention" ? operator.window : operator?.type;
    });

  test("change single layers and ranges, from either end", () => {
    expect(windows('{0: {mixer: {window: 1}}, "2-3": {mixer: {window: 2}}, -1: {mixer: {window: 3}}}')).toEqual([
      1, 8, 2, 2, 8, 3,
    ]);
  });

  test("remove a field with null, and replace a mixer by giving its type", () => {
    expect(windows("{1: {mixer: {window: null}}, 2: {mixer: {type: mamba}}}")).toEqual([8, null, "mamba", 8, 8, 8]);
    expect(windows("{1: {ffn: {type: mlp, d_ff: 8}}}")).toEqual([8, "mlp", 8, 8, 8, 8]);
  });

  test("reach the wiring of shared blocks, but not their weights", () => {
    const shared = `${HEAD}blocks: {M: {shared: true, mixer: {type: mamba}}}\nlayers: MM\noverrides: {1: {out_scale: 0.5}}\n`;
    expect(loadSpec(shared).layers.map((layer) => layer.out_scale)).toEqual([1, 0.5]);
  });

  test("reach parallel groups of a pattern", () => {
    const parallel = `${HEAD}blocks: {M: {mixer: {type: mamba}}, A: {mixer: {type: attention, n_heads: 4}}}
layers: "[M&A]{2}"
overrides: {1: {combine: mean}}
`;
    expect(loadSpec(parallel).layers.map((layer) => layer.combine)).toEqual(["sum", "mean"]);
  });
});

describe("extends", () => {
  const files: Record<string, string> = {
    "base.yaml": `${HEAD}norm: {eps: 1.0e-3}
blocks:
  M: {mixer: {type: mamba, d_state: 8, expand: 3}}
  A: {mixer: {type: attention, n_heads: 4, window: 8}}
layers: MA
overrides: {0: {out_scale: 0.5}}
`,
    "middle.yaml": "extends: base.yaml\nname: middle\nd_model: 128\n",
  };
  const resolve: Resolver = (reference) => {
    const text = files[reference];
    if (text === undefined) throw new Error("no such file");
    return { file: reference, text };
  };
  const load = (text: string) => loadSpec(text, { file: "child.yaml", resolve });

  test("inherits what is not said again, through several files", () => {
    const spec = load("extends: middle.yaml\nname: child\nblocks: {M: {mixer: {d_state: 32}}}\n");
    expect(spec).toMatchObject({ name: "child", d_model: 128, final_norm: { eps: 1e-3 } });
    expect(layerOf(spec, 0).branches[0]?.operator).toMatchObject({ d_state: 32, d_inner: 384 });
    expect(layerOf(spec, 0).out_scale).toBe(0.5);
  });

  test("null removes, another type replaces, an alternative takes the place of what it excludes", () => {
    const spec = load(`extends: base.yaml
norm: null
overrides: null
blocks:
  M: {mixer: {d_inner: 96}}
  A: {mixer: {type: mamba}}
`);
    expect(spec.final_norm?.eps).toBe(1e-5);
    expect(layerOf(spec, 0)).toMatchObject({ out_scale: 1, branches: [{ operator: { d_inner: 96, d_state: 8 } }] });
    expect(layerOf(spec, 1).branches[0]?.operator).toMatchObject({ type: "mamba", d_state: 16 });
    expect(load("extends: base.yaml\nblocks: {A: null}\nlayers: M\n").layers).toHaveLength(1);
    const ffn = load("extends: base.yaml\nblocks: {A: {ffn: {type: mlp, d_ff: 8}}}\n");
    expect(layerOf(ffn, 1).branches[0]).toMatchObject({ name: "ffn", operator: { d_ff: 8 } });
  });

  test("errors of the file that is extended name that file", () => {
    const { diagnostics } = checkSpec("extends: base.yaml\nblocks: {A: {mixer: {n_kv_heads: 3}}}\n", {
      file: "child.yaml",
      resolve,
    });
    expect(formatDiagnostics(diagnostics)).toContain("child.yaml:2:34  blocks.A.mixer.n_kv_heads");
    const broken = { ...files, "base.yaml": "name: [" };
    const result = checkSpec("extends: base.yaml\n", { resolve: (file) => ({ file, text: broken["base.yaml"] }) });
    expect(result.diagnostics.map((diagnostic) => diagnostic.file)).toEqual(["base.yaml"]);
  });

  test("what is inherited and unused is no warning", () => {
    const { diagnostics } = checkSpec("extends: base.yaml\nlayers: MM\n", { resolve });
    expect(diagnostics).toEqual([]);
  });

  test("is merged in when the spec is saved", () => {
    const spec = load("extends: middle.yaml\nname: child\nblocks: {M: {mixer: {d_state: 32}}}\n");
    const saved = stringifySpec(spec);
    expect(saved).not.toContain("extends");
    expect(loadSpec(saved)).toEqual(spec);
  });
});

test("a saved spec reads like one written by hand", () => {
  const text = `name: test
description: One of each.
d_model: 64
vocab_size: 256
norm: {type: rms_norm, eps: 0.001}
blocks:
  M: {mixer: {type: mamba}}
  P: {parallel: [{mixer: {type: mamba2, head_dim: 16, dt_limit: [0.001, inf]}}, {mixer: {type: attention, n_heads: 4}}]}
layers: MP
overrides:
  "1": {out_scale: 0.5}
`;
  expect(stringifySpec(loadSpec(text))).toBe(text);
});
