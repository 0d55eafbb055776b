// Conversion between stored element types and float32, against exhaustive and hand-made cases.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dtypeBytes, fromFloat32, toFloat32, viewAs } from "../../../src/formats/safetensors/dtype.ts";

const all16 = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
const isHalfNaN = (bits: number) => (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0;
const isBfloatNaN = (bits: number) => (bits & 0x7f80) === 0x7f80 && (bits & 0x7f) !== 0;

describe("float16", () => {
  test.each([
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0xfc00, Number.NEGATIVE_INFINITY],
    [0x7e00, Number.NaN],
  ])("0x%s is %d", (bits, value) => {
    expect(toFloat32(Uint16Array.of(bits), "F16")[0]).toBe(value);
  });

  test("survives float32 and back, every one of its values", () => {
    const back = fromFloat32(toFloat32(all16, "F16"), "F16");
    for (let bits = 0; bits < 65536; bits++) {
      if (isHalfNaN(bits)) expect(isHalfNaN(Number(back[bits]))).toBe(true);
      else if (back[bits] !== bits) expect(back[bits]).toBe(bits);
    }
  });

  test("is the nearest value, ties to even", () => {
    const values = toFloat32(all16.subarray(0, 0x7c00), "F16"); // all finite values of 0 or more, in order
    fc.assert(
      fc.property(fc.nat({ max: 0x7bfe }), fc.double({ min: 0, max: 1, noNaN: true }), (index, fraction) => {
        const [low = 0, high = 0] = values.subarray(index, index + 2);
        const value = Math.fround(low + (high - low) * fraction);
        const middle = (low + high) / 2;
        const expected = value < middle ? index : value > middle ? index + 1 : index + (index & 1);
        expect(fromFloat32(Float32Array.of(value), "F16")[0]).toBe(expected);
        expect(fromFloat32(Float32Array.of((low + high) / 2), "F16")[0]).toBe(index + (index & 1));
      }),
    );
    expect(fromFloat32(Float32Array.of(65519, 65520, 1e9, 2 ** -25, 2 ** -26), "F16")).toEqual(
      Uint16Array.of(0x7bff, 0x7c00, 0x7c00, 0, 0),
    );
  });
});

describe("bfloat16", () => {
  test("survives float32 and back, every one of its values", () => {
    const back = fromFloat32(toFloat32(all16, "BF16"), "BF16");
    for (let bits = 0; bits < 65536; bits++) {
      if (isBfloatNaN(bits)) expect(isBfloatNaN(Number(back[bits]))).toBe(true);
      else if (back[bits] !== bits) expect(back[bits]).toBe(bits);
    }
  });

  test("rounds to nearest, ties to even", () => {
    const bits = Uint32Array.of(0x3f800000, 0x3f807fff, 0x3f808000, 0x3f808001, 0x3f818000, 0x7f7fffff, 0x7f800001);
    const rounded = fromFloat32(new Float32Array(bits.buffer), "BF16");
    expect([...rounded].slice(0, 6)).toEqual([0x3f80, 0x3f80, 0x3f80, 0x3f81, 0x3f82, 0x7f80]);
    expect(isBfloatNaN(Number(rounded[6]))).toBe(true);
  });
});

test("float64 becomes the nearest float32", () => {
  expect([...toFloat32(Float64Array.of(0.1), "F64")]).toEqual([Math.fround(0.1)]);
  expect(fromFloat32(Float32Array.of(1.5), "F64")).toEqual(Float64Array.of(1.5));
});

test("misaligned bytes are still read", () => {
  const bytes = new Uint8Array(13);
  new DataView(bytes.buffer).setFloat32(1, 2.5, true);
  expect(viewAs(bytes.subarray(1, 5), "F32")).toEqual(Float32Array.of(2.5));
  expect(dtypeBytes("BF16")).toBe(2);
});
