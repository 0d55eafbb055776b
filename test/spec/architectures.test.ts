import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { loadSpec, stringifySpec } from "../../src/spec/load.ts";
import { checkSpecFile, loadSpecFile } from "../../src/spec/node/files.ts";
import type { ArchitectureSpec, FfnSpec, MixerSpec } from "../../src/spec/types.ts";

const list = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => folder + name);
const small = list("architectures/");
const bench = list("architectures/bench/");

function operators(spec: ArchitectureSpec) {
  return spec.layers.flatMap((layer) => layer.branches.map((branch) => branch.operator));
}

function types(spec: ArchitectureSpec): string {
  return operators(spec)
    .map((operator) => operator.type)
    .join(" ");
}

describe("the architectures", () => {
  test.each([...small, ...bench])("%s is right, without warnings, and survives saving", (file) => {
    const { spec, diagnostics } = checkSpecFile(file);
    expect(diagnostics).toEqual([]);
    if (spec === undefined) throw new Error("no spec");
    expect(loadSpec(stringifySpec(spec))).toEqual(spec);
    expect(spec.name).toBe(file.replace(/^.*\//, "").replace(".yaml", ""));
  });

  test("are at least a dozen, and small enough to run in tests", () => {
    expect(small.length).toBeGreaterThanOrEqual(12);
    for (const file of small) {
      const spec = loadSpecFile(file);
      expect(spec.d_model, file).toBeLessThanOrEqual(128);
      expect(spec.vocab_size, file).toBe(256);
      expect(spec.layers.length, file).toBeLessThanOrEqual(16);
    }
  });

  test("use every mixer and ffn of the language between them", () => {
    const used = new Set(small.flatMap((file) => operators(loadSpecFile(file)).map((operator) => operator.type)));
    const mixers: Record<MixerSpec["type"] | FfnSpec["type"], true> = {
      mamba: true,
      mamba2: true,
      gated_delta: true,
      linear_attention: true,
      attention: true,
      s4d: true,
      latent_attention: true,
      short_conv: true,
      rg_lru: true,
      wkv: true,
      rnn: true,
      mlp: true,
      linear: true,
      moe: true,
    };
    expect([...used].sort()).toEqual(Object.keys(mixers).sort());
  });
});

describe("the benchmark shapes", () => {
  test("mamba-130m", () => {
    const spec = loadSpecFile("architectures/bench/mamba-130m.yaml");
    expect(spec).toMatchObject({ d_model: 768, vocab_size: 50280, head: { tied: true }, final_norm: { eps: 1e-5 } });
    expect(spec.layers).toHaveLength(24);
    expect(operators(spec)[23]).toMatchObject({ type: "mamba", d_inner: 1536, d_state: 16, d_conv: 4, dt_rank: 48 });
  });

  test("mamba2-130m", () => {
    const spec = loadSpecFile("architectures/bench/mamba2-130m.yaml");
    expect(spec).toMatchObject({ d_model: 768, vocab_size: 50288, head: { tied: true }, final_norm: { eps: 1e-5 } });
    expect(spec.layers).toHaveLength(24);
    expect(operators(spec)[0]).toMatchObject({ n_heads: 24, head_dim: 64, d_state: 128, n_groups: 1, d_inner: 1536 });
  });

  test("small-hybrid has an attention layer third of every four, each layer with an MLP", () => {
    const spec = loadSpecFile("architectures/bench/small-hybrid.yaml");
    expect(spec).toMatchObject({ d_model: 512, vocab_size: 32000, head: { tied: false }, final_norm: { eps: 1e-6 } });
    expect(types(spec)).toBe(Array(3).fill("mamba mlp mamba mlp attention mlp mamba mlp").join(" "));
    const [mamba, mlp, , , attention] = operators(spec);
    expect(mamba).toMatchObject({
      d_inner: 1024,
      d_state: 16,
      dt_rank: 32,
      inner_norm: { weight: "learned", eps: 1e-6 },
    });
    expect(mlp).toMatchObject({ d_ff: 1408, activation: "silu", gated: true, bias: false });
    expect(attention).toMatchObject({ n_heads: 8, n_kv_heads: 2, head_dim: 64, rope: null, window: null });
  });

  test("those for training are four layers of width 128 over bytes", () => {
    const load = (name: string) => loadSpecFile(`architectures/bench/train-${name}.yaml`);
    for (const name of ["mamba", "mamba2", "transformer", "hybrid"]) {
      expect(load(name)).toMatchObject({ d_model: 128, vocab_size: 256, head: { tied: true } });
    }
    expect(types(load("mamba"))).toBe("mamba mamba mamba mamba");
    expect(operators(load("mamba"))[0]).toMatchObject({ d_inner: 256, d_state: 16, dt_rank: 8, inner_norm: null });
    expect(operators(load("mamba2"))[0]).toMatchObject({ n_heads: 8, head_dim: 32, d_state: 64, n_groups: 1 });
    expect(types(load("transformer"))).toBe(Array(4).fill("attention mlp").join(" "));
    expect(operators(load("transformer"))[0]).toMatchObject({ n_heads: 4, n_kv_heads: 4, rope: { theta: 10000 } });
    expect(types(load("hybrid"))).toBe("mamba mlp mamba mlp attention mlp mamba mlp");
    expect(operators(load("hybrid"))[1]).toMatchObject({ d_ff: 344 });
    expect(load("hybrid").final_norm?.eps).toBe(1e-6);
  });
});
