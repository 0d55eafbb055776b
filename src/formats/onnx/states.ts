// The states of a model as inputs and outputs of an ONNX graph, under the names and in the shapes that transformers.js keeps
// its caches in. What a runtime hands back unread may be laid out as suits the graph; only shapes are agreed on.
import { type Dim, fixedDimAt } from "../../graph/shape.ts";
import type { StateBinding, Tensor } from "../../graph/types.ts";
import type { Dimension, OnnxBuilder } from "./builder.ts";
import { OnnxError } from "./error.ts";
import { present, type Value } from "./lowering.ts";

export interface StatePort {
  readonly past: string;
  readonly present: string;
  /** Of `past`: the sizes that are not fixed are called as transformers.js expects, see `dimensions`. */
  readonly shape: readonly Dimension[];
  /** The bindings that it carries: several convolutions of a block share one. */
  readonly bindings: readonly StateBinding[];
  readonly kind: "cache" | "window" | "plain";
}

interface Place {
  readonly layer: string;
  /** The branch of the layer. */
  readonly branch: string;
  readonly state: string;
}

function placeOf(name: string): Place {
  const [, layer, branch = "", state] = /^layers\.(\d+)\.(?:(.*)\.)?([^.]+)$/.exec(name) ?? [];
  if (layer === undefined || state === undefined) throw new OnnxError(`the state "${name}" belongs to no layer`);
  return { layer, branch, state };
}

/** What sizes are called that only a call decides; transformers.js makes its empty caches by these names. */
export const dimensions = {
  batch: "batch_size",
  sequence: "sequence_length",
  past: "past_sequence_length",
  total: "total_sequence_length",
} as const;

/** How the states of a model are called. */
export interface StateNames {
  /** The number in the names of a layer's states: one block of other implementations may be several layers here. */
  readonly numbers?: readonly number[] | undefined;
  /** The windows of query, key and value each have a state of their own. */
  readonly apart?: boolean | undefined;
}

/** What the parts of a layer's convolution are called where they stand apart. */
const parts: Readonly<Record<string, string>> = { conv_q: ".query", conv_k: ".key", conv_v: ".value" };

const isCache = (state: string): boolean => state === "key" || state === "value";
const isWindow = (state: string): boolean => state.startsWith("conv");
const dimension = (dim: Dim): Dimension => (dim === "B" ? dimensions.batch : dim);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Where the states of a graph go in and out. */
export function statePorts(states: readonly StateBinding[], { numbers, apart = false }: StateNames = {}): StatePort[] {
  const taken = new Set<string>();
  /** The agreed name, or a longer one where another branch of the layer has it. */
  const named = (kind: string, { layer, branch, state }: Place, suffix = ""): Pick<StatePort, "past" | "present"> => {
    const base = `${kind}.${numbers?.[Number(layer)] ?? layer}${suffix}`;
    const name = taken.has(base) ? `${base}.${branch}.${state}` : base;
    taken.add(name);
    const rest = name.slice(kind.length);
    return kind === "key_values"
      ? { past: `past_key_values${rest}`, present: `present${rest}` }
      : { past: `past_${kind}${rest}`, present: `present_${kind}${rest}` };
  };
  const ports: StatePort[] = [];
  const windows = new Map<string, StateBinding[]>();
  for (const binding of states) {
    const place = placeOf(binding.name);
    const { shape } = binding.input;
    if (isCache(place.state)) {
      const [, , heads = 1, channels = 1] = shape;
      ports.push({
        ...named("key_values", place, `.${place.state}`),
        shape: [dimensions.batch, Number(heads), dimensions.past, Number(channels)],
        bindings: [binding],
        kind: "cache",
      });
    } else if (isWindow(place.state)) {
      const key = `${place.layer}.${place.branch} ${shape[1]}${apart ? place.state : ""}`;
      const group = windows.get(key);
      if (group === undefined) windows.set(key, [binding]);
      else group.push(binding);
    } else {
      const kind = place.state.startsWith("ssm") ? "ssm" : place.state === "shift" ? "shift" : "recurrent";
      ports.push({
        ...named(kind, place),
        shape: shape.map(dimension),
        bindings: [binding],
        kind: "plain",
      });
    }
  }
  for (const bindings of windows.values()) {
    const first = present(bindings[0], "a window");
    const channels = sum(bindings.map(({ input }) => fixedDimAt(input.shape, 2)));
    // As many columns as the convolution has taps, though the oldest is never read.
    const columns = fixedDimAt(first.input.shape, 1) + 1;
    const place = placeOf(first.name);
    ports.push({
      ...named("conv", place, apart ? parts[place.state] : ""),
      shape: [dimensions.batch, channels, columns],
      bindings,
      kind: "window",
    });
  }
  return ports;
}

const exchange = (x: Value, builder: OnnxBuilder): Value =>
  present(builder.nodes("Transpose", [x], 1, { attributes: { perm: [0, 2, 1] } })[0], "transposed");

const int64 = (values: readonly number[], builder: OnnxBuilder): Value =>
  builder.integers(`integers.${values.join(".")}`, [values.length], values);

/** Adds the input of a port; sets the value of each state that it carries. */
export function readPort(
  port: StatePort,
  builder: OnnxBuilder,
  leaves: Map<Tensor, Value>,
  windows: Map<Tensor, Value>,
): void {
  const value = builder.input(port.past, "f32", port.shape);
  const first = present(port.bindings[0], "state").input;
  if (port.kind === "window" && port.bindings.length === 1) windows.set(first, value);
  if (port.kind !== "window") {
    leaves.set(first, value);
    return;
  }
  const columns = Number(port.shape[2]);
  const range = [1, columns, 2].map((n) => int64([n], builder));
  const [recent] = builder.nodes("Slice", [value, ...range], 1);
  const sizes = port.bindings.map(({ input }) => fixedDimAt(input.shape, 2));
  const parts =
    sizes.length === 1
      ? [recent]
      : builder.nodes("Split", [recent, int64(sizes, builder)], sizes.length, { attributes: { axis: 1 } });
  for (const [i, { input }] of port.bindings.entries())
    leaves.set(input, exchange(present(parts[i], "window"), builder));
}

/** Adds the output of a port from the next values of its states, or from a window that is given whole. */
export function writePort(
  port: StatePort,
  builder: OnnxBuilder,
  emitted: (tensor: Tensor) => Value,
  windows: ReadonlyMap<Tensor, Value>,
): void {
  const shape = port.shape.map((dim) => (dim === dimensions.past ? dimensions.total : dim));
  const whole = port.bindings.length === 1 ? windows.get(present(port.bindings[0], "state").output) : undefined;
  if (whole !== undefined) {
    builder.output(port.present, whole, "f32", shape);
    return;
  }
  const values = port.bindings.map(({ output }) => emitted(output));
  const [first] = values;
  if (port.kind !== "window") builder.output(port.present, present(first, "state"), "f32", shape);
  else {
    const columns = values.map((value) => exchange(value, builder));
    const [joined] = columns.length === 1 ? columns : builder.nodes("Concat", columns, 1, { attributes: { axis: 1 } });
    // A column of zeros in the place of the oldest.
    const pads = int64([0, 0, 1, 0, 0, 0], builder);
    const [value] = builder.nodes("Pad", [joined, pads], 1);
    builder.output(port.present, present(value, "window"), "f32", shape);
  }
}
