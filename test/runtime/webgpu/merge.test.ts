// Which dispatches may run side by side: every order that the levels allow computes what the program's order computes.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { link, type Place } from "../../../src/runtime/webgpu/link.ts";
import type { Binding } from "../../../src/runtime/webgpu/lowering.ts";
import { dependencyLevels } from "../../../src/runtime/webgpu/merge.ts";

const buffers = ["a", "b"].map((label) => ({ label }) as unknown as GPUBuffer);
const bindingAt = (buffer: number, offset: number, bytes: number, access: Binding["access"], storage = "f32") => {
  const place = { buffer: buffers[buffer] as GPUBuffer, offset, bytes, storage } as Place;
  const binding: Binding = { tensor: { kind: "scratch", bytes }, access };
  return { binding, place };
};

const access = fc.record({
  buffer: fc.nat(1),
  offset: fc.nat(20),
  bytes: fc.integer({ min: 1, max: 12 }),
  access: fc.constantFrom("read" as const, "write" as const, "update" as const),
});

describe("levels", () => {
  it("keep apart what touches the same memory, one of them writing, and keep its order", () => {
    fc.assert(
      fc.property(fc.array(fc.array(access, { minLength: 1, maxLength: 4 }), { maxLength: 25 }), (program) => {
        const dispatches = program.map((list) => ({
          bindings: list.map((a, i) => {
            const { binding, place } = bindingAt(a.buffer, a.offset, a.bytes, a.access);
            return [`x${i}`, binding, place] as const;
          }),
        }));
        const levels = dependencyLevels(dispatches);
        for (const [i, later] of program.entries()) {
          for (const [k, earlier] of program.slice(0, i).entries()) {
            const conflict = later.some((a) =>
              earlier.some(
                (b) =>
                  a.buffer === b.buffer &&
                  a.offset < b.offset + b.bytes &&
                  b.offset < a.offset + a.bytes &&
                  (a.access !== "read" || b.access !== "read"),
              ),
            );
            if (conflict) expect(levels[i]).toBeGreaterThan(levels[k] ?? Number.POSITIVE_INFINITY);
          }
        }
      }),
    );
  });

  it("put independent work on one level", () => {
    const read = bindingAt(0, 0, 4, "read");
    const dispatches = [8, 16, 24].map((offset) => {
      const write = bindingAt(0, offset, 4, "write");
      return { bindings: [["x", read.binding, read.place] as const, ["y", write.binding, write.place] as const] };
    });
    expect(dependencyLevels(dispatches)).toEqual([0, 0, 0]);
  });
});

describe("linking", () => {
  const limits = { maxStorageBindings: 8, maxBinding: 1 << 20 };
  const linked = (list: readonly (readonly [string, ReturnType<typeof bindingAt>])[], most = limits) =>
    link(
      "kernel",
      list.map(([name, { binding, place }]) => [name, binding, place] as const),
      most,
    );

  it("makes one variable of what is updated in place", () => {
    const { variables, bindings, bases } = linked([
      ["x", bindingAt(0, 256, 64, "read")],
      ["y", bindingAt(0, 256, 64, "write")],
    ]);
    expect(variables).toEqual([{ storage: "f32", writable: true, width: 1 }]);
    expect(bindings.map(({ variable }) => variable)).toEqual([0, 0]);
    expect(bases).toEqual([]);
  });

  it("reads only where nothing of the buffer is written", () => {
    const { variables } = linked([
      ["weight", bindingAt(1, 0, 64, "read")],
      ["x", bindingAt(0, 0, 64, "read")],
      ["y", bindingAt(0, 256, 64, "write")],
    ]);
    expect(variables.map(({ writable }) => writable)).toEqual([false, true, true]);
  });

  it("merges the closest of a buffer until there are few enough, behind bases", () => {
    const many = Array.from({ length: 6 }, (_, i) => [`x${i}`, bindingAt(0, 256 * i, 64, "read")] as const);
    const { variables, entries, bases } = linked(many, { maxStorageBindings: 3, maxBinding: 1 << 20 });
    expect(variables).toHaveLength(3);
    for (const [i, a] of entries.entries())
      for (const b of entries.slice(i + 1))
        expect(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset).toBe(true);
    for (const { value } of bases) expect(value % 64).toBe(0);
  });

  it("says so where they stay too many", () => {
    const many = [0, 1].flatMap((buffer) =>
      Array.from({ length: 3 }, (_, i) => [`x${buffer}${i}`, bindingAt(buffer, 256 * i, 64, "read")] as const),
    );
    expect(() => linked(many, { maxStorageBindings: 1, maxBinding: 1 << 20 })).toThrow(
      "kernel wants 2 storage bindings, this device has 1 per shader",
    );
  });

  it("refuses overlapping memory of different types", () => {
    expect(() =>
      linked([
        ["x", bindingAt(0, 0, 64, "read")],
        ["y", bindingAt(0, 32, 64, "write", "f16")],
      ]),
    ).toThrow("kernel: f32 and f16 tensors overlap in memory");
  });
});
