// A weight table applied to one model: every tensor that its checkpoint holds, with the rows of parameters it is made of.
import type { ResolvedLayer } from "../../spec/types.ts";
import { HuggingFaceError } from "./error.ts";
import type { StackEntry, WeightTable } from "./family.ts";
import type { Alternatives, Rule } from "./table.ts";

/** Shapes of a model's parameters by name. */
export type ParameterShapes = ReadonlyMap<string, readonly number[]>;

/** Rows of a parameter (see table.ts) that lie in a stored tensor. */
export interface Part {
  readonly parameter: string;
  /** First row of the parameter. */
  readonly first: number;
  readonly rows: number;
}

/** A tensor of a checkpoint, made of the rows of its parts. */
export interface StoredTensor {
  /** The name it is written with, then others that are accepted. */
  readonly names: readonly string[];
  readonly shape: readonly number[];
  readonly parts: readonly Part[];
  readonly columns: number;
  /** How often the parts are stacked, each time with a `groups`-th of their rows. */
  readonly groups: number;
  readonly transposed: Rule["transposed"];
}

/** What a checkpoint holds: each entry is one of several sets of tensors, usually a single tensor. */
export interface WeightPlan {
  readonly entries: readonly (readonly (readonly StoredTensor[])[])[];
}

/** Rows and columns of a parameter as rules see it. */
export function matrixOf(shape: readonly number[]): { readonly rows: number; readonly columns: number } {
  const size = shape.reduce((product, length) => product * length, 1);
  const columns = shape.length < 2 ? 1 : (shape.at(-1) ?? 1);
  return { rows: columns === 0 ? 0 : size / columns, columns };
}

/**
 * The plan for a model with these layers and parameters.
 *
 * @param prefix which of the table's prefixes names have
 * @throws HuggingFaceError where a parameter is in no tensor or in several: the table does not fit the architecture
 */
export function planWeights(
  table: WeightTable,
  prefix: string,
  stack: readonly StackEntry[],
  layers: readonly ResolvedLayer[],
  shapes: ParameterShapes,
): WeightPlan {
  const entries: (readonly (readonly StoredTensor[])[])[] = [];
  const covered = new Set<string>();
  const add = (list: readonly (Rule | Alternatives)[], scope: Scope): void => {
    for (const entry of list) {
      const options = "either" in entry ? entry.either : [[entry]];
      const sets = options
        .map((rules) => rules.flatMap((one) => expand(one, scope, shapes, covered)))
        .filter((tensors) => tensors.length > 0);
      const [written] = sets;
      if (written === undefined) continue;
      entries.push(sets);
      for (const { parts } of written) for (const { parameter } of parts) covered.add(parameter);
    }
  };
  add(table.head, { prefix: "", placeholders: {}, find: (name) => name });
  add(table.body, { prefix, placeholders: {}, find: (name) => name });
  for (const [i, { block, layer, use }] of stack.entries()) {
    const weights = layers[i]?.weights ?? "";
    const own = `layers.${i}`;
    add(table.blocks[block] ?? [], {
      prefix: `${prefix}${table.layer.replaceAll("{layer}", String(layer))}`,
      placeholders: { "{layer}": String(layer), "{use}": String(use ?? 0) },
      find: (name) => (shapes.has(`${weights}.${name}`) ? `${weights}.${name}` : `${own}.${name}`),
    });
  }
  checkCoverage(entries, shapes);
  return { entries };
}

interface Scope {
  readonly prefix: string;
  readonly placeholders: Readonly<Record<string, string>>;
  /** Full name of a parameter. */
  find(name: string): string;
}

/** The tensors that a rule stands for; none where the model has none of its parameters, or has them all already. */
function expand(rule: Rule, scope: Scope, shapes: ParameterShapes, covered: ReadonlySet<string>): StoredTensor[] {
  const names = rule.parameters.map((name) => scope.find(name));
  const present = names.filter((name) => shapes.has(name));
  if (present.length === 0 || present.every((name) => covered.has(name))) return [];
  const stored = rule.stored.map((name) =>
    Object.entries(scope.placeholders).reduce(
      (text, [placeholder, value]) => text.replaceAll(placeholder, value),
      `${scope.prefix}${name}`,
    ),
  );
  if (present.length < names.length) {
    throw new HuggingFaceError(
      stored[0] ?? "a tensor",
      `the architecture has ${present.join(", ")} but not ${names.filter((name) => !shapes.has(name)).join(", ")}, which are one tensor there`,
    );
  }
  const matrices = names.map((parameter) => ({ parameter, shape: shapes.get(parameter) ?? [] }));
  const experts = matrices[0]?.shape[0] ?? 0;
  if (!rule.stored.some((name) => name.includes("{expert}"))) {
    const parts = matrices.map(({ parameter, shape }) => ({ parameter, first: 0, rows: matrixOf(shape).rows }));
    if (rule.cut === true) return cutTensors(rule, stored, parts, matrixOf(matrices[0]?.shape ?? []).columns);
    const own = matrices.map(({ shape }) => shape);
    return [storedTensor(rule.perExpert === true ? stacked(rule, experts) : rule, stored, parts, own)];
  }
  return Array.from({ length: experts }, (_, expert) => {
    const parts = matrices.map(({ parameter, shape }) => {
      const rows = matrixOf(shape).rows / experts;
      return { parameter, first: expert * rows, rows };
    });
    const own = stored.map((name) => name.replaceAll("{expert}", String(expert)));
    return storedTensor(
      rule,
      own,
      parts,
      matrices.map(({ shape }) => shape.slice(1)),
    );
  });
}

/** A rule for each index of the first axis as one for all of them together. */
function stacked(rule: Rule, experts: number): Rule {
  return { ...rule, groups: experts, shape: (rows, columns) => [experts, rows / experts, columns] };
}

/** One tensor for each name: the rows of all parts, cut equally. A cut may go through a parameter. */
function cutTensors(rule: Rule, names: readonly string[], parts: readonly Part[], columns: number): StoredTensor[] {
  const size = parts.reduce((sum, { rows }) => sum + rows, 0) / names.length;
  const { shape = (rows: number) => [rows, columns] } = rule;
  if (!Number.isInteger(size)) return [];
  return names.map((name, i) => {
    let before = 0;
    const own = parts.flatMap(({ parameter, rows }) => {
      const [from, to] = [Math.max(before, i * size), Math.min(before + rows, (i + 1) * size)];
      const first = from - before;
      before += rows;
      return to > from ? [{ parameter, first, rows: to - from }] : [];
    });
    return { names: [name], shape: shape(size, columns), parts: own, columns, groups: 1, transposed: undefined };
  });
}

function storedTensor(
  { groups = 1, transposed, shape }: Rule,
  names: readonly string[],
  parts: readonly Part[],
  shapes: readonly (readonly number[])[],
): StoredTensor {
  const columns = matrixOf(shapes[0] ?? []).columns;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const uneven = parts.some((part) => part.rows % groups !== 0);
  if (uneven || shapes.some((one) => matrixOf(one).columns !== columns)) {
    const found = parts.map(({ parameter }, i) => `${parameter} [${shapes[i]}]`).join(", ");
    throw new HuggingFaceError(names[0] ?? "a tensor", `${found} can't be stacked in ${groups} groups`);
  }
  const [only] = shapes;
  const plain = parts.length === 1 && only !== undefined ? only : only?.length === 1 ? [rows] : [rows, columns];
  const own = transposed === "whole" ? [columns, rows] : plain;
  return { names, shape: shape?.(rows, columns) ?? own, parts, columns, groups, transposed };
}

/** Every row of every parameter must be in exactly one tensor of what is written. */
function checkCoverage(entries: WeightPlan["entries"], shapes: ParameterShapes): void {
  const counts = new Map<string, number>();
  for (const [written = []] of entries) {
    for (const { parts } of written) {
      for (const { parameter, rows } of parts) counts.set(parameter, (counts.get(parameter) ?? 0) + rows);
    }
  }
  const wrong = [...shapes].filter(([name, shape]) => counts.get(name) !== matrixOf(shape).rows).map(([name]) => name);
  if (wrong.length > 0) {
    throw new HuggingFaceError(
      "weight table",
      `no tensor of this family holds ${wrong.slice(0, 8).join(", ")}${wrong.length > 8 ? ", …" : ""}`,
    );
  }
}
