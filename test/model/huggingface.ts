// Compares a model with Hugging Face transformers by hand: logits, loss and every gradient of a small random checkpoint in
// test/fixtures/hf, whose tensors a test names, cuts and stacks itself.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { buildLoss } from "../../src/blocks/model.ts";
import { withSafetensorsFile } from "../../src/formats/safetensors/node/file.ts";
import type { Safetensors } from "../../src/formats/safetensors/reader.ts";
import { makeGraph, parameterAttributes } from "../../src/graph/graph.ts";
import { scalar } from "../../src/graph/leaves.ts";
import { sizeOf } from "../../src/graph/shape.ts";
import { differentiate } from "../../src/ops/gradients.ts";
import { finish, prepare } from "../../src/ops/passes/optimise.ts";
import type { Runtime } from "../../src/runtime/types.ts";
import { defineSpec } from "../../src/spec/load.ts";
import type { ArchitectureFile } from "../../src/spec/types.generated.ts";

/** Rows first … first + count - 1 of a stored tensor, all by default. */
export interface Part {
  readonly tensor: string;
  readonly first?: number;
  readonly count?: number;
}

/** The stored parts that a parameter is made of, one after the other. */
export type Names = ReadonlyMap<string, readonly Part[]>;

export interface Case {
  readonly file: ArchitectureFile;
  readonly names: Names;
}

export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Pairs of a parameter's name and a stored tensor's, under a prefix each. */
export const same = (own: string, stored: string, pairs: Readonly<Record<string, string>>): [string, Part[]][] =>
  Object.entries(pairs).map(([name, tensor]) => [`${own}${name}`, [{ tensor: `${stored}${tensor}` }]]);

/** Projections that are stored as consecutive rows of one tensor. */
export function cut(own: string, tensor: string, sizes: Readonly<Record<string, number>>): [string, Part[]][] {
  let first = 0;
  return Object.entries(sizes).map(([name, count]) => {
    const part = { tensor, first, count };
    first += count;
    return [`${own}${name}`, [part]];
  });
}

export const stack = (own: string, experts: number, tensor: (e: number) => Part): [string, Part[]] => [
  own,
  range(experts).map(tensor),
];

const folder = (name: string): string => fileURLToPath(new URL(`../fixtures/hf/${name}/`, import.meta.url));

/** A parameter's values (or, with prefix `grad.`, its gradient's) from the file's parts. */
async function gather(file: Safetensors, parts: readonly Part[], prefix = ""): Promise<Float32Array> {
  const pieces: number[] = [];
  for (const { tensor, first = 0, count } of parts) {
    const name = prefix + tensor;
    const { shape } = file.info(name);
    // Stacks of matrices are rows, too.
    const width =
      shape.length === 1 ? 1 : sizeOf(shape.length === 3 && shape[1] !== 1 ? shape.slice(2) : shape.slice(1));
    const range = { start: first * width, count: (count ?? sizeOf(shape) / width) * width };
    pieces.push(...(await file.readFloat32(name, range)));
  }
  return Float32Array.from(pieces);
}

interface Meta {
  readonly tolerance: Readonly<Record<"logits_atol" | "loss_atol" | "grad_rtol_of_tensor_max" | "grad_atol", number>>;
  readonly stored_without_gradient: readonly string[];
}

const maxOf = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  expect(a.length).toBe(b.length);
  return maxOf(Array.from(a, (x, i) => x - (b[i] ?? Number.NaN)));
};

/** Expects what transformers computes, within the tolerances stored beside it times `factor`. */
export async function expectTransformers(
  name: string,
  { file, names }: Case,
  make: () => Promise<Runtime>,
  factor: number,
): Promise<void> {
  const meta = JSON.parse(readFileSync(`${folder(name)}meta.json`, "utf8")) as Meta;
  const withoutGradient = new Set(meta.stored_without_gradient);
  const graph = prepare(buildLoss(defineSpec(file)));
  const loss = graph.outputs[0];
  if (loss === undefined) throw new Error("no loss");
  const gradients = differentiate(
    [{ tensor: loss.tensor, gradient: scalar(1) }],
    graph.parameters.map(({ tensor }) => tensor),
  );
  const outputs = [...graph.outputs];
  for (const [i, parameter] of graph.parameters.entries()) {
    const tensor = gradients[i];
    if (tensor !== undefined) outputs.push({ name: `gradient.${parameter.name}`, tensor });
  }
  const partsOf = (parameter: string): readonly Part[] => {
    const parts = names.get(parameter);
    if (parts === undefined) throw new Error(`no parts for ${parameter}`);
    return parts;
  };
  const weights = new Map<string, Float32Array>();
  await withSafetensorsFile(`${folder(name)}model.safetensors`, async (stored) => {
    // Every stored tensor is used, or follows from the configuration; and every parameter is filled.
    const used = new Set([...names.values()].flat().map(({ tensor }) => tensor));
    expect([...stored.tensors.keys()].filter((tensor) => !used.has(tensor) && !withoutGradient.has(tensor))).toEqual(
      [],
    );
    for (const parameter of graph.parameters)
      weights.set(parameter.name, await gather(stored, partsOf(parameter.name)));
  });
  const runtime = await make();
  try {
    await withSafetensorsFile(`${folder(name)}expected.safetensors`, async (expected) => {
      const tokens = await expected.readInt32("input_ids");
      const [rows = 1, length = 1] = expected.info("input_ids").shape;
      // The last token of a row has nothing to predict.
      const targets = tokens.map((_, i) => (i % length === length - 1 ? -100 : (tokens[i + 1] ?? 0)));
      const buffers = new Map(
        graph.parameters.map((parameter) => {
          const shape = parameter.tensor.shape as readonly number[];
          return [parameter.name, runtime.buffer({ shape, dtype: "f32" }, weights.get(parameter.name))] as const;
        }),
      );
      const program = await runtime.compile(finish(makeGraph({ outputs })), {
        bindings: { B: rows, T: length, C: length },
        buffers,
        poison: true,
      });
      const results = await program.run({ tokens, targets });
      const { logits_atol, loss_atol, grad_rtol_of_tensor_max, grad_atol } = meta.tolerance;
      expect(distance(results.logits ?? [], await expected.readFloat32("logits"))).toBeLessThan(factor * logits_atol);
      expect(distance(results.loss ?? [], await expected.readFloat32("loss"))).toBeLessThan(factor * loss_atol);
      let compared = 0;
      for (const parameter of graph.parameters) {
        const parts = partsOf(parameter.name);
        if (parts.every(({ tensor }) => withoutGradient.has(tensor))) continue;
        const wanted = await gather(expected, parts, "grad.");
        const found = results[`gradient.${parameter.name}`] ?? [];
        const limit = factor * (grad_rtol_of_tensor_max * maxOf(wanted) + grad_atol);
        expect(distance(found, wanted), parameter.name).toBeLessThan(limit);
        compared++;
      }
      // All but what no gradient moves, a router's bias.
      const moved = graph.parameters.filter(({ tensor }) => parameterAttributes(tensor).signRate === undefined);
      expect(compared).toBe(moved.length);
    });
  } finally {
    await runtime.close();
  }
}
