// Recurrences as they are checked in several ways: in every dialect, as Scan, at many lengths, backwards.
import { hasBeta, hasDecay, linearAttention, type UpdateRule } from "../../../src/ops/linear-attention/op.ts";
import { rgLru } from "../../../src/ops/rg-lru/op.ts";
import { selectiveScan } from "../../../src/ops/selective-scan/op.ts";
import type { Check } from "./check.ts";

type Case = Pick<Check, "leaves" | "build">;

const rules: readonly UpdateRule[] = ["linear", "gated", "delta", "gated_delta"];

/** How many heads of queries, keys and values there are. */
type HeadCounts = readonly [query: number, key: number, value: number];
const headCounts: readonly HeadCounts[] = [
  [2, 2, 2],
  [1, 1, 4],
  [2, 1, 4],
  [4, 2, 2],
];

/** Every rule with every number of heads. */
export const ruleCases = () =>
  rules.flatMap((rule) => headCounts.map((counts) => ({ rule, counts, name: `${rule} ${counts.join("/")}` })));

/** linear_attention from a state and from none; a decay for each head, or for each of `keys` keys of it. */
export const linearAttentionCase = (rule: UpdateRule, [query, key, value]: HeadCounts, keys = 0): Case => ({
  leaves: {
    q: { shape: ["B", "T", query, 4] },
    k: { shape: ["B", "T", key, 4], range: [-0.5, 0.5] },
    v: { shape: ["B", "T", value, 3] },
    s0: { shape: ["B", value, 4, 3] },
    ...(hasDecay(rule)
      ? { decay: { shape: ["B", "T", value, ...(keys === 0 ? [] : [keys])], range: [-1, 0] } as const }
      : {}),
    ...(hasBeta(rule) ? { beta: { shape: ["B", "T", value], range: [0, 1] } as const } : {}),
  },
  build: (leaf) => {
    const gates = {
      ...(hasDecay(rule) ? { decay: leaf("decay") } : {}),
      ...(hasBeta(rule) ? { beta: leaf("beta") } : {}),
    };
    const [q, k, v] = [leaf("q"), leaf("k"), leaf("v")];
    const from = linearAttention(rule, q, k, v, { ...gates, initialState: leaf("s0"), scale: 0.7 });
    const fresh = linearAttention(rule, q, k, v, gates);
    return { y: from.output, state: from.finalState, z: fresh.output };
  },
});

/** linear_attention with a decay for each key, and with one for all tokens. */
export const decayCase: Case = {
  leaves: {
    q: { shape: ["B", "T", 2, 4] },
    k: { shape: ["B", "T", 2, 4] },
    v: { shape: ["B", "T", 2, 3] },
    keys: { shape: ["B", "T", 2, 4], range: [-1, 0] },
    constant: { shape: [1, 1, 2], range: [-1, 0] },
  },
  build: (leaf) => ({
    perKey: linearAttention("gated", leaf("q"), leaf("k"), leaf("v"), { decay: leaf("keys") }).output,
    all: linearAttention("gated", leaf("q"), leaf("k"), leaf("v"), { decay: leaf("constant") }).output,
  }),
};

/** selective_scan with and without a state, skip, gate and bias. */
export const selectiveScanCase: Case = {
  leaves: {
    u: { shape: ["B", "T", 6] },
    delta: { shape: ["B", "T", 6] },
    A: { shape: [6, 4], range: [-2, -0.1], weight: true },
    Bs: { shape: ["B", "T", 4] },
    Cs: { shape: ["B", "T", 4] },
    D: { shape: [6], weight: true },
    z: { shape: ["B", "T", 6] },
    bias: { shape: [6], weight: true },
    h0: { shape: ["B", 6, 4] },
  },
  build: (leaf) => {
    const [u, delta, a, b, c] = [leaf("u"), leaf("delta"), leaf("A"), leaf("Bs"), leaf("Cs")];
    const options = { D: leaf("D"), z: leaf("z"), deltaBias: leaf("bias"), initialState: leaf("h0") };
    const full = selectiveScan(u, delta, a, b, c, options);
    const bare = selectiveScan(u, delta, a, b, c);
    return { y: full.output, hT: full.finalState, bare: bare.output, state: bare.finalState };
  },
};

/** rg_lru from the start and from a state. */
export const rgLruCase: Case = {
  leaves: {
    x: { shape: ["B", "T", 5] },
    logA: { shape: ["B", "T", 5], range: [-2, -0.1] },
    position: { shape: ["B"], ids: true, range: [0, 2] },
    h0: { shape: ["B", 5] },
  },
  build: (leaf) => {
    const fresh = rgLru(leaf("x"), leaf("logA"));
    const from = rgLru(leaf("x"), leaf("logA"), { position: leaf("position"), initialState: leaf("h0") });
    return { y: fresh.output, h: fresh.finalState, z: from.output, hT: from.finalState };
  },
};
