// What tells two architectures apart in what they compute. Names, the way layers are written down and how weights start do
// not: a model computes the same whatever they are.
import type { ArchitectureSpec, ResolvedLayer } from "../../spec/types.ts";

/** Fields of resolved specs that do not change what a model with given weights computes. */
const NEUTRAL: ReadonlySet<string> = new Set([
  ...["name", "description", "source", "init", "index", "block", "weights"],
  ...["dt_min", "dt_max", "dt_init_floor", "A_init_range", "balance_loss", "z_loss", "bias_rate"],
]);

/** Relative difference of numbers that may come of rounding, as in 16^-0.5 by two ways. */
const ROUNDING = 1e-9;

/**
 * What `spec` has that `other` has not, one line each: `layers 0, 2: mixer.window is 128, not none`. Empty where both
 * compute the same with the same weights.
 */
export function differences(spec: ArchitectureSpec, other: ArchitectureSpec): string[] {
  const { layers, ...rest } = spec;
  const { layers: otherLayers, ...otherRest } = other;
  const lines = fieldDifferences(rest, otherRest);
  if (layers.length !== otherLayers.length) {
    return [...lines, `the stack has ${layers.length} layers, not ${otherLayers.length}`];
  }
  // One line for all layers that differ in the same way.
  const places = new Map<string, number[]>();
  for (const [i, layer] of layers.entries()) {
    const mine = flatten(layer, layers);
    const theirs = flatten(otherLayers[i], otherLayers);
    for (const line of fieldDifferences(mine, theirs)) places.set(line, [...(places.get(line) ?? []), i]);
  }
  const ofLayers = [...places].map(
    ([line, list]) => `${list.length === 1 ? "layer" : "layers"} ${ranges(list)}: ${line}`,
  );
  return [...lines, ...ofLayers];
}

/** A layer with its branches by name, and which layer it shares its weights with. */
function flatten(layer: ResolvedLayer | undefined, layers: readonly ResolvedLayer[]): Record<string, unknown> {
  if (layer === undefined) return {};
  const { branches, ...rest } = layer;
  const operators = branches.map(({ name, operator, ...scales }) => [name, { ...operator, ...scales }]);
  const first = layers.findIndex(({ weights }) => weights === layer.weights);
  return { ...rest, ...Object.fromEntries(operators), first_use_of_weights: first };
}

function fieldDifferences(mine: unknown, theirs: unknown, path = ""): string[] {
  if (isRecord(mine) && isRecord(theirs)) {
    // Another type of mixer or norm: its fields say nothing.
    if (mine.type !== theirs.type && typeof mine.type === "string") {
      return [`${path === "" ? "it" : path} is ${show(mine.type)}, not ${show(theirs.type)}`];
    }
    const names = new Set([...Object.keys(mine), ...Object.keys(theirs)]);
    return [...names].flatMap((name) =>
      NEUTRAL.has(name) ? [] : fieldDifferences(mine[name], theirs[name], path === "" ? name : `${path}.${name}`),
    );
  }
  if (Array.isArray(mine) && Array.isArray(theirs) && mine.length === theirs.length) {
    const same = mine.every((item, i) => fieldDifferences(item, theirs[i], path).length === 0);
    return same ? [] : [`${path} is ${show(mine)}, not ${show(theirs)}`];
  }
  return isSame(mine, theirs) ? [] : [`${path} is ${show(mine)}, not ${show(theirs)}`];
}

function isSame(a: unknown, b: unknown): boolean {
  if (typeof a === "number" && typeof b === "number") {
    return a === b || Math.abs(a - b) <= ROUNDING * Math.max(Math.abs(a), Math.abs(b));
  }
  return a === b || (a ?? null) === (b ?? null);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  if (value === null || value === undefined) return "none";
  if (isRecord(value) && typeof value.type === "string") return value.type;
  const text = typeof value === "number" ? String(value) : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** 0-2, 5 */
function ranges(list: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < list.length; ) {
    let end = i;
    while (list[end + 1] === (list[end] ?? 0) + 1) end++;
    parts.push(end - i > 1 ? `${list[i]}-${list[end]}` : list.slice(i, end + 1).join(", "));
    i = end + 1;
  }
  return parts.join(", ");
}
