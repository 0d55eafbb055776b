// Architectures that were designed here: those that a family of transformers can express are exported as it, the others are
// told which fields stand in the way.
import { describe, expect, it } from "vitest";
import { chooseFamily } from "../../../src/formats/huggingface/export.ts";
import { loadSpecFile } from "../../../src/spec/node/files.ts";

describe("an architecture of this house", () => {
  it.each([
    ["mamba", "mamba"],
    ["falcon-mamba", "falcon_mamba"],
    ["mamba2", "mamba2"],
    ["jamba", "jamba"],
    ["zamba", "zamba"],
    ["zamba2", "zamba2"],
    ["bamba", "bamba"],
    ["granite-hybrid", "granitemoehybrid"],
    ["nemotron-h", "nemotron_h"],
    ["nemotron-3", "nemotron_h"],
    ["falcon-h1", "falcon_h1"],
    ["recurrent-gemma", "recurrent_gemma"],
    ["qwen3-next", "qwen3_next"],
    ["kimi-linear", "kimi_linear"],
    ["lfm2", "lfm2"],
    ["olmo-hybrid", "olmo_hybrid"],
    ["rwkv", "rwkv"],
    ["qwen3", "qwen3"],
    ["gemma2", "gemma2"],
    ["gemma3", "gemma3_text"],
    ["gpt2", "gpt2"],
    ["transformer", "llama"],
  ])("%s.yaml is exported as %s", (name, family) => {
    const { family: found, problems, config } = chooseFamily(loadSpecFile(`architectures/${name}.yaml`));
    expect(problems).toEqual([]);
    expect(found.modelTypes[0]).toBe(family);
    expect(config?.architectures).toEqual([found.architecture]);
  });

  it.each([
    ["quickstart", "the nearest, llama", 'layers 0, 4: mixer is "mamba", not "attention"'],
    ["minimax", "the nearest, minimax", "layers 0, 2, 4: mixer.output_norm.eps is 0.00001, not 0.000001"],
    ["qwen3-moe", "these fields stand in the way", "mixer.qk_norm is rms_norm, not none"],
    ["gru", "fits no family of transformers", "its stack of layers is another"],
  ])("%s.yaml is told what stands in the way", (name, nearest, field) => {
    const attempt = () => chooseFamily(loadSpecFile(`architectures/${name}.yaml`));
    expect(attempt).toThrow(nearest);
    expect(attempt).toThrow(field);
  });

  it("may be asked for as a certain family", () => {
    const spec = loadSpecFile("architectures/mamba.yaml");
    expect(() => chooseFamily(spec, "falcon_mamba")).toThrow(
      "does not fit falcon_mamba: these fields stand in the way",
    );
    expect(() => chooseFamily(spec, "mambo")).toThrow('"mambo" is not a family; allowed: mamba');
  });
});
