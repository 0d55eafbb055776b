// Which dispatches may be left out: leaving them out changes nothing that is read at the end.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Place } from "../../../src/runtime/webgpu/link.ts";
import type { Binding } from "../../../src/runtime/webgpu/lowering.ts";
import { neededDispatches } from "../../../src/runtime/webgpu/needed.ts";

const [arena, state] = ["arena", "state"].map((label) => ({ label }) as unknown as GPUBuffer) as [GPUBuffer, GPUBuffer];
const SIZE = 24;

interface Access {
  readonly kept: boolean;
  readonly offset: number;
  readonly bytes: number;
  readonly access: Binding["access"];
}

const placeOf = ({ kept, offset, bytes }: Omit<Access, "access">): Place => ({
  buffer: kept ? state : arena,
  offset,
  bytes,
  storage: "f32",
});
const dispatchOf = (list: readonly Access[], number: number) => ({
  number,
  bindings: list.map((a, i) => {
    const binding: Binding = { tensor: { kind: "scratch", bytes: a.bytes }, access: a.access };
    return [`x${i}`, binding, placeOf(a)] as const;
  }),
});
const working = [{ buffer: arena, offset: 0, bytes: SIZE }];

/** Memory after these dispatches, each of which writes a digest of its number and of what it reads. */
function run(program: readonly (readonly Access[])[], numbers: readonly number[]): Record<"arena" | "state", number[]> {
  const memory = { arena: new Array<number>(SIZE).fill(0), state: new Array<number>(SIZE).fill(0) };
  const cells = ({ kept }: Access): number[] => (kept ? memory.state : memory.arena);
  for (const number of numbers) {
    const list = program[number] ?? [];
    let digest = number + 1;
    for (const a of list) {
      if (a.access === "write") continue;
      for (let i = 0; i < a.bytes; i++) digest = (digest * 31 + (cells(a)[a.offset + i] ?? 0)) % 1000003;
    }
    for (const [k, a] of list.entries()) {
      if (a.access === "read") continue;
      for (let i = 0; i < a.bytes; i++) cells(a)[a.offset + i] = (digest + 7 * k + i) % 1000003;
    }
  }
  return memory;
}

const access: fc.Arbitrary<Access> = fc
  .record({
    kept: fc.boolean(),
    offset: fc.nat(SIZE - 8),
    bytes: fc.integer({ min: 1, max: 8 }),
    access: fc.constantFrom("read" as const, "write" as const, "update" as const),
  })
  .map((a) => ({ ...a, kept: a.kept && a.offset % 3 === 0 }));

describe("dispatches that are left out", () => {
  it("change neither states nor results", () => {
    let left = 0;
    fc.assert(
      fc.property(
        fc.array(fc.array(access, { minLength: 1, maxLength: 3 }), { maxLength: 20 }),
        fc.nat(SIZE - 4),
        (program, offset) => {
          const results = [placeOf({ kept: false, offset, bytes: 4 })];
          const dispatches = program.map(dispatchOf);
          const needed = neededDispatches(dispatches, results, working).map(({ number }) => number);
          left += program.length - needed.length;
          const all = run(
            program,
            program.map((_, i) => i),
          );
          const some = run(program, needed);
          expect(some.state).toEqual(all.state);
          expect(some.arena.slice(offset, offset + 4)).toEqual(all.arena.slice(offset, offset + 4));
        },
      ),
      { numRuns: 300 },
    );
    expect(left).toBeGreaterThan(100);
  });

  it("are those whose results nobody reads, and what only those needed", () => {
    const at = (offset: number, way: Binding["access"]): Access => ({ kept: false, offset, bytes: 1, access: way });
    const program = [
      [at(0, "write")],
      [at(1, "write")],
      // Reads what the first made, for nobody.
      [at(0, "read"), at(2, "write")],
      [at(1, "read"), at(3, "write")],
    ];
    const results = [placeOf({ kept: false, offset: 3, bytes: 1 })];
    const needed = neededDispatches(program.map(dispatchOf), results, working);
    expect(needed.map(({ number }) => number)).toEqual([1, 3]);
  });
});
