// A recurrence as one Scan node, whose body is what one token does. The literal form of every recurrence: what the other
// dialects' closed forms are checked against.
import type { Shape } from "../../../graph/shape.ts";
import { type OnnxEmitter, present, type Value } from "../lowering.ts";

export interface ScanRequest {
  /** States before the first token, by name. */
  readonly states: Readonly<Record<string, Value>>;
  /** What the tokens bring, [B, T, ..], by name; undefined where an op goes without. */
  readonly tokens: Readonly<Record<string, Value | undefined>>;
  /** States [B, ..] and a token's share of `tokens`, [B, ..] → the next states and what the token gives, by name. */
  step(values: (name: string) => Value): { readonly states: Record<string, Value>; readonly outputs: readonly Value[] };
}

export interface ScanResult {
  /** After the last token, in the order of the request. */
  readonly states: readonly Value[];
  /** [B, T, ..] */
  readonly outputs: readonly Value[];
}

/** Values of the graph around it may be read in `step`. */
export function scan({ states, tokens, step }: ScanRequest, emit: OnnxEmitter): ScanResult {
  const given = Object.entries(tokens).filter((entry): entry is [string, Value] => entry[1] !== undefined);
  const names = [...Object.keys(states), ...given.map(([name]) => name)];
  let produced = 0;
  const body = emit.subgraph("step", names, (values) => {
    const { states: next, outputs } = step((name) => present(values[names.indexOf(name)], name));
    produced = outputs.length;
    return [...Object.keys(states).map((name) => present(next[name], `the next ${name}`)), ...outputs];
  });
  const kept = Object.keys(states).length;
  const inputs = [...Object.values(states), ...given.map(([, value]) => value)];
  const results = emit.nodes("Scan", inputs, kept + produced, {
    attributes: {
      body: { graph: body },
      num_scan_inputs: given.length,
      scan_input_axes: given.map(() => 1),
      scan_output_axes: Array.from({ length: produced }, () => 1),
    },
  });
  return { states: results.slice(0, kept), outputs: results.slice(kept) };
}

/** A state before the first token: the one that is carried over, or zeros. */
export const initial = (past: Value | undefined, shape: Shape, emit: OnnxEmitter): Value =>
  past ?? emit.node("Expand", [emit.floats([0]), emit.sizes(shape)]);

/** x with axes of length 1 at `axes`. */
export const unsqueeze = (x: Value, axes: readonly number[], emit: OnnxEmitter): Value =>
  emit.node("Unsqueeze", [x, emit.integers(axes)]);

/** The sum of x over `axis`, which goes. */
export const sumOver = (x: Value, axis: number, emit: OnnxEmitter): Value =>
  emit.node("ReduceSum", [x, emit.integers([axis])], { attributes: { keepdims: 0 } });
