// What a block builder works with: a place to take parameters from and to keep states in, whose names follow the layer.
import { type Initialiser, parameter, state } from "../graph/leaves.ts";
import { formatShape, GraphError, type Shape, sameShape } from "../graph/shape.ts";
import type { StateBinding, Tensor } from "../graph/types.ts";
import type { AdapterSpec, InitSpec, RouterSpec } from "../spec/types.ts";

/** What attention reads, and may share with layers after it. */
export interface KeyValues {
  readonly k: Tensor;
  readonly v: Tensor;
  /** Caches; undefined in stateless graphs. */
  readonly pastKey: Tensor | undefined;
  readonly pastValue: Tensor | undefined;
}

export interface BlockContext {
  /** Width of the residual stream. */
  readonly width: number;
  readonly init: InitSpec;
  /** Tokens before this call for each row, i32 [B]; absent in stateless graphs, where every row starts at 0. */
  readonly position: Tensor | undefined;
  /** The parameter `name` of this block, made on first use; blocks that share weights get the same tensor. */
  parameter(
    name: string,
    shape: readonly number[],
    initialiser: Initialiser,
    options?: { readonly decay?: boolean; readonly signRate?: number },
  ): Tensor;
  /** A matrix [out, in] of a linear layer, or a stack of `count` of them, drawn as the spec's `init` says. */
  weight(name: string, out: number, input: number, count?: number): Tensor;
  /** A matrix [out, in], or a stack, that leads back into the residual stream (its initial scale may depend on the depth). */
  outputWeight(name: string, out: number, input: number, count?: number): Tensor;
  /** Whether operators project their result to the width of the stream; if not, the block does. */
  readonly projectsOut: boolean;
  /** Keys and values of the nearest attention before. */
  readonly keys: { latest: KeyValues | undefined };
  /** A vector that starts at zero and does not decay. */
  bias(name: string, size: number): Tensor;
  /**
   * Where the projection `name` has a low-rank adapter, the parameters of this use of the block: `down` [rank, in] and `up`
   * [out, rank].
   */
  adapter(name: string, out: number, input: number): { readonly down: Tensor; readonly up: Tensor } | undefined;
  /** The state `name` at the start of the call; undefined in stateless graphs, where it is zero. */
  state(name: string, shape: Shape): Tensor | undefined;
  /** Sets the value of a state after the call. Ignored in stateless graphs. */
  next(name: string, value: Tensor): void;
  /** Tells training about a router, so that its experts come to be used alike. */
  route(router: Router): void;
}

/** What a router has done, as far as training is concerned. */
export interface Router {
  readonly spec: RouterSpec;
  /** [B, T, experts] */
  readonly logits: Tensor;
  /** Experts that each token is sent to. */
  readonly choices: number;
  /** How many tokens each expert was given, [experts]. */
  readonly counts: Tensor;
  /** Parameter [experts] that takes part in the choice only. */
  readonly bias: Tensor | undefined;
}

/** Everything that the blocks of one model share while it is being built. */
export interface ModelContext {
  readonly stateful: boolean;
  readonly parameters: Map<string, Tensor>;
  readonly states: StateBinding[];
  readonly routers: Router[];
  readonly position: Tensor | undefined;
  readonly width: number;
  readonly init: InitSpec;
  readonly depth: number;
  readonly keys: { latest: KeyValues | undefined };
}

const stacked = (out: number, input: number, count: number | undefined): readonly number[] =>
  count === undefined ? [out, input] : [count, out, input];

/** The context of one branch: parameters under `weights`, states and the adapter's parameters under `own`. */
export function blockContext(
  model: ModelContext,
  weights: string,
  own: string,
  {
    adapter = null,
    projectsOut = true,
  }: { readonly adapter?: AdapterSpec | null; readonly projectsOut?: boolean } = {},
): BlockContext {
  const open = new Map<string, Tensor>();
  const make: BlockContext["parameter"] = (name, ...rest) => makeAt(`${weights}.${name}`, ...rest);
  const makeAt: BlockContext["parameter"] = (full, shape, initialiser, options) => {
    const known = model.parameters.get(full);
    if (known !== undefined) {
      if (!sameShape(known.shape, shape)) {
        throw new GraphError(
          `parameter "${full}" is wanted as ${formatShape(shape)} and as ${formatShape(known.shape)}`,
        );
      }
      return known;
    }
    const tensor = parameter(full, shape, initialiser, options);
    model.parameters.set(full, tensor);
    return tensor;
  };
  const { std, rescale_residual } = model.init;
  return {
    width: model.width,
    projectsOut,
    keys: model.keys,
    init: model.init,
    position: model.position,
    parameter: make,
    weight: (name, out, input, count) => make(name, stacked(out, input, count), { kind: "normal", std }),
    outputWeight: (name, out, input, count) =>
      make(name, stacked(out, input, count), {
        kind: "normal",
        std: rescale_residual ? std / Math.sqrt(model.depth) : std,
      }),
    bias: (name, size) => make(name, [size], { kind: "zeros" }, { decay: false }),
    adapter(name, out, input) {
      const group = adapter?.groups.find((names) => names.includes(name));
      if (adapter === null || group === undefined) return undefined;
      const scope = `${own}.adapter`;
      // As in the paper, A is random and B zero, so that training starts from the projection alone.
      return {
        down: makeAt(`${scope}.${group[0]}.down.weight`, [adapter.rank, input], { kind: "normal", std }),
        up: makeAt(`${scope}.${name}.up.weight`, [out, adapter.rank], { kind: "zeros" }),
      };
    },
    state(name, shape) {
      if (!model.stateful) return undefined;
      const tensor = state(`${own}.${name}`, shape);
      open.set(name, tensor);
      return tensor;
    },
    next(name, output) {
      const input = open.get(name);
      if (input !== undefined) model.states.push({ name: `${own}.${name}`, input, output });
    },
    route: (router) => void model.routers.push(router),
  };
}
