// Planning: packing requests into an arena, and storage for whole graphs.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { exp, tanh } from "../../src/graph/expression.ts";
import { makeGraph } from "../../src/graph/graph.ts";
import { input, state } from "../../src/graph/leaves.ts";
import { lowerBound, packArena, plan, type Request } from "../../src/graph/plan.ts";
import type { Tensor } from "../../src/graph/types.ts";
import { add, mul, pointwise } from "../../src/ops/map/op.ts";
import { reduce } from "../../src/ops/reduce/op.ts";
import { reshape } from "../../src/ops/reshape/op.ts";

const bindings = { B: 2, T: 3, C: 4 };

const requests = fc.array(
  fc
    .record({ bytes: fc.integer({ min: 0, max: 5000 }), first: fc.nat(40), length: fc.nat(15) })
    .map(({ bytes, first, length }): Request => ({ bytes, first, last: first + length })),
  { maxLength: 60 },
);

describe("packArena", () => {
  it("never lets two requests that are alive together overlap, and stays inside the arena", () => {
    fc.assert(
      fc.property(requests, fc.constantFrom(4, 64, 256), (list, alignment) => {
        const { offsets, size } = packArena(list, alignment);
        for (const [i, a] of list.entries()) {
          const start = offsets[i] ?? -1;
          expect(start % alignment).toBe(0);
          expect(start + a.bytes).toBeLessThanOrEqual(Math.max(size, a.bytes === 0 ? start : 0));
          for (const [j, b] of list.entries()) {
            if (i >= j || a.first > b.last || b.first > a.last || a.bytes === 0 || b.bytes === 0) continue;
            const other = offsets[j] ?? -1;
            expect(start + a.bytes <= other || other + b.bytes <= start).toBe(true);
          }
        }
        expect(size).toBeGreaterThanOrEqual(lowerBound(list, alignment));
      }),
    );
  });

  it("reaches the lower bound where lifetimes nest", () => {
    const nested = [0, 1, 2, 3].map((i) => ({ bytes: 100 * (i + 1), first: i, last: 10 - i }));
    expect(packArena(nested, 4).size).toBe(lowerBound(nested, 4));
  });

  it("packs nothing into nothing", () => {
    expect(packArena([], 64)).toEqual({ offsets: [], size: 0 });
  });
});

describe("plan", () => {
  const x = input("x", ["B", "T", 8]);

  it("lets an elementwise op overwrite an input that dies with it, never one that lives on", () => {
    const a = pointwise(x, exp);
    const b = pointwise(a, tanh);
    const c = add(b, a);
    const graph = makeGraph({ outputs: [{ name: "c", tensor: c }] });
    const { storage } = plan(graph, bindings);
    const place = (tensor: Tensor) => storage.get(tensor);
    expect(place(a)).not.toEqual(place(b));
    expect([place(a), place(b)]).toContainEqual(place(c));
  });

  it("gives a view the storage of its source and keeps the source alive as long as the view", () => {
    const a = pointwise(x, exp);
    const view = reshape(a, ["B", "T", 2, 4]);
    const other = reduce(pointwise(x, tanh), "sum");
    const late = mul(view, other);
    const { storage, requests: blocks } = plan(makeGraph({ outputs: [{ name: "late", tensor: late }] }), bindings);
    expect(storage.get(view)).toEqual(storage.get(a));
    const place = storage.get(a);
    expect(place?.kind === "arena" ? blocks[place.request]?.last : -1).toBeGreaterThanOrEqual(3);
  });

  it("writes a next state straight into the state's buffer, or copies it where the old value is read later", () => {
    const s = state("s", ["B", 8]);
    const next = pointwise(s, exp);
    const direct = plan(makeGraph({ outputs: [], states: [{ name: "s", input: s, output: next }] }), bindings);
    expect(direct.copies).toEqual([]);
    expect(direct.storage.get(next)).toEqual({ kind: "leaf", leaf: s });

    const late = add(next, s);
    const copied = plan(
      makeGraph({ outputs: [{ name: "late", tensor: late }], states: [{ name: "s", input: s, output: next }] }),
      bindings,
    );
    expect(copied.copies).toEqual([{ from: next, state: s }]);
  });

  it("gives no storage to outputs that nothing reads", () => {
    const graph = makeGraph({ outputs: [{ name: "y", tensor: pointwise(x, exp) }] });
    expect(plan(graph, bindings).steps).toHaveLength(1);
  });
});
