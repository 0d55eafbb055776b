// Working memory in several buffers: no two values that are alive together overlap, no buffer is larger than allowed.
import fc from "fast-check";
import { expect, it } from "vitest";
import { packArenas } from "../../../src/runtime/webgpu/arena.ts";

const request = fc
  .record({ bytes: fc.integer({ min: 0, max: 4000 }), first: fc.nat(30), length: fc.nat(10) })
  .map(({ bytes, first, length }) => ({ bytes, first, last: first + length }));

it("packs into as many arenas as the limit asks for", () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 60 }), fc.integer({ min: 4096, max: 20000 }), (requests, limit) => {
      const { sizes, places } = packArenas(requests, 256, limit);
      for (const size of sizes) expect(size).toBeLessThanOrEqual(limit);
      for (const [i, a] of requests.entries()) {
        const place = places[i];
        expect((place?.offset ?? 1) % 256).toBe(0);
        if (a.bytes > 0) expect((place?.offset ?? 0) + a.bytes).toBeLessThanOrEqual(sizes[place?.arena ?? -1] ?? 0);
        for (const [k, b] of requests.slice(0, i).entries()) {
          const other = places[k];
          const together = a.first <= b.last && b.first <= a.last && place?.arena === other?.arena;
          if (!together || a.bytes === 0 || b.bytes === 0 || place === undefined || other === undefined) continue;
          expect(place.offset + a.bytes <= other.offset || other.offset + b.bytes <= place.offset).toBe(true);
        }
      }
    }),
  );
});

it("takes one arena where that is small enough", () => {
  expect(packArenas([{ bytes: 100, first: 0, last: 1 }], 256, 4096).sizes).toHaveLength(1);
});

it("refuses a value that no buffer can hold", () => {
  expect(() => packArenas([{ bytes: 5000, first: 0, last: 0 }], 256, 4096)).toThrow("buffers of at most 4096");
});
