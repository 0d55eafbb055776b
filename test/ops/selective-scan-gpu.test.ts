// selective_scan and its gradient on the GPU: sizes that take each kernel and layout, absent inputs, states in place, tensors that
// have to be cut.
import { describe, test } from "vitest";
import { outputOf, type Tensor } from "../../src/graph/types.ts";
import { selectiveScan } from "../../src/ops/selective-scan/op.ts";
import { checkOp, gpuRuntimes, type OpInput } from "./harness.ts";

interface Sizes {
  readonly batch?: number;
  readonly tokens: number;
  readonly channels: number;
  readonly states: number;
  /** Of D, z, delta_bias and h0. */
  readonly without?: readonly string[];
  readonly softplus?: boolean;
}

function inputsOf(sizes: Sizes): Readonly<Record<string, OpInput>> {
  const { batch = 1, tokens, channels, states, without = [], softplus = true } = sizes;
  const sequence = [batch, tokens, channels];
  const projections = [batch, tokens, states];
  const all = {
    u: { shape: sequence },
    delta: softplus ? { shape: sequence } : { shape: sequence, low: 1, high: 1.5 },
    A: { shape: [channels, states], low: -2, high: -0.1 },
    B: { shape: projections },
    C: { shape: projections },
    D: { shape: [channels] },
    z: { shape: sequence, low: -3, high: 3 },
    delta_bias: { shape: [channels], low: -1, high: 0 },
    h0: { shape: [batch, channels, states] },
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => !without.includes(name)));
}

function scan(x: Readonly<Record<string, Tensor>>, deltaSoftplus = true) {
  const { u, delta, A, B, C } = x;
  if (!u || !delta || !A || !B || !C) throw new Error("an input is missing");
  const options = { D: x.D, z: x.z, deltaBias: x.delta_bias, initialState: x.h0, deltaSoftplus };
  const { output, finalState } = selectiveScan(u, delta, A, B, C, options);
  return { y: output, hT: finalState };
}

const forward = (sizes: Sizes) =>
  checkOp({
    inputs: inputsOf(sizes),
    build: (x) => {
      const { y, hT } = scan(x, sizes.softplus);
      return { y, hT, starts: outputOf(y, 2) };
    },
    differentiated: [],
    runtimes: gpuRuntimes,
  });

const all = ["D", "z", "delta_bias", "h0"];

describe("selective_scan on the GPU", () => {
  test.each([
    { tokens: 1, channels: 1, states: 1 },
    { tokens: 1, channels: 70, states: 16, batch: 2 },
    { tokens: 1, channels: 5, states: 300 },
    { tokens: 1, channels: 33, states: 13, without: all },
    { tokens: 2, channels: 65, states: 16 },
    { tokens: 31, channels: 70, states: 4, batch: 3, without: ["D", "h0"] },
    { tokens: 67, channels: 130, states: 16, batch: 2 },
    { tokens: 70, channels: 9, states: 15, without: ["z", "delta_bias"] },
    { tokens: 66, channels: 21, states: 64 },
    { tokens: 66, channels: 7, states: 37, without: all },
    { tokens: 65, channels: 3, states: 130 },
    { tokens: 5, channels: 2, states: 1100 },
    { tokens: 3, channels: 2, states: 4100 },
    { tokens: 129, channels: 40, states: 8, softplus: false },
  ] as readonly Sizes[])(
    "token by token: $tokens tokens, $channels channels, $states states, without $without",
    forward,
  );

  test.each([
    { tokens: 256, channels: 17, states: 16 },
    { tokens: 300, channels: 9, states: 5, batch: 2 },
    { tokens: 321, channels: 20, states: 33, without: all },
    { tokens: 257, channels: 3, states: 16, batch: 3, without: ["h0"], softplus: false },
  ] as readonly Sizes[])("in chunks: $tokens tokens, $channels channels, $states states, without $without", forward);
});

const backward = (sizes: Sizes, differentiated?: readonly string[]) =>
  checkOp({
    inputs: inputsOf(sizes),
    build: (x) => scan(x, sizes.softplus),
    finiteDifferences: false,
    runtimes: gpuRuntimes,
    ...(differentiated === undefined ? {} : { differentiated }),
  });

describe("selective_scan_gradient on the GPU", () => {
  test.each([
    { tokens: 1, channels: 1, states: 1 },
    { tokens: 9, channels: 33, states: 16, batch: 2 },
    { tokens: 67, channels: 40, states: 13, batch: 2, without: ["D", "z"] },
    { tokens: 130, channels: 9, states: 7, without: all },
    { tokens: 65, channels: 35, states: 36, without: ["h0"] },
    { tokens: 20, channels: 5, states: 20, softplus: false },
  ] as readonly Sizes[])("chunk by chunk: $tokens tokens, $channels channels, $states states, without $without", (s) =>
    backward(s),
  );

  test.each([
    { tokens: 256, channels: 33, states: 16 },
    { tokens: 300, channels: 5, states: 18, batch: 2 },
    { tokens: 257, channels: 9, states: 5, without: all },
  ] as readonly Sizes[])("chunks side by side: $tokens tokens, $channels channels, $states states", (s) => backward(s));

  test.each([67, 260])("of the final state alone, %s tokens", (tokens) =>
    backward({ batch: 2, tokens, channels: 6, states: 16 }, ["hT"]),
  );

  test.each([67, 260])("of y alone, %s tokens", (tokens) =>
    backward({ batch: 2, tokens, channels: 6, states: 16 }, ["y"]),
  );
});
