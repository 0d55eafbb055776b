// The directives of kernels: what they select and repeat, and how mistakes are told.
import { describe, expect, it } from "vitest";
import { preprocess } from "../../../src/runtime/webgpu/preprocess.ts";

const files: Readonly<Record<string, string>> = {
  "a.wgsl": 'fn a() {}\n#include "b.wgsl"',
  "b.wgsl": '#include "a.wgsl"\nfn b() {}',
  "c.wgsl": "const C = 1.0;\nfn c(x: V) -> V { return C * x.C; }",
};
const include = (path: string): string => {
  const text = files[path];
  if (text === undefined) throw new Error(`no ${path}`);
  return text;
};
const constants = new Map<string, number | boolean>([
  ["N", 3],
  ["WIDE", true],
  ["ODD", false],
]);
const run = (source: string): string[] =>
  preprocess("k.wgsl", source, constants, include)
    .map(({ text }) => text)
    .filter((text) => text !== "");

describe("directives", () => {
  it.each([
    ["#if WIDE\nyes\n#else\nno\n#endif", ["yes"]],
    ["#if ODD\nno\n#elif N == 3\nyes\n#else\nno\n#endif", ["yes"]],
    ["#if N > 3 || !WIDE\nno\n#endif\nrest", ["rest"]],
    ["#if N * 2 + 1 == 7 && (N % 2 == 1)\n#if ODD\nno\n#else\nyes\n#endif\n#endif", ["yes"]],
    ["#if max(N, 5) - min(N, 5) == 2\nyes\n#endif", ["yes"]],
    ["#if N / 2 == 1 // rounded down\nyes\n#endif", ["yes"]],
  ])("select: %j", (source, expected) => {
    expect(run(source)).toEqual(expected);
  });

  it("repeat, also within each other", () => {
    expect(run("#for i in 0..2\n#for j in $i..N\nx$i$j\n#endfor\n#endfor")).toEqual([
      "x00",
      "x01",
      "x02",
      "x11",
      "x12",
    ]);
    expect(run("#for i in 2..2\nnever\n#endfor")).toEqual([]);
    expect(run("#for i in 0..1\n$i $ij\n#endfor")).toEqual(["0 $ij"]);
  });

  it("include a file once more under other names", () => {
    expect(run('#include "c.wgsl" as x_\n#include "c.wgsl"\nc()')).toEqual([
      "const x_C = 1.0;",
      "fn x_c(x: x_V) -> x_V { return x_C * x.C; }",
      "const C = 1.0;",
      "fn c(x: V) -> V { return C * x.C; }",
      "c()",
    ]);
  });

  it("include every file once", () => {
    expect(run('#include "a.wgsl"\n#include "b.wgsl"')).toEqual(["fn a() {}", "fn b() {}"]);
  });

  it("leave lines that know where they are from", () => {
    const lines = preprocess("k.wgsl", '#include "b.wgsl"\n#for i in 0..2\nline\n#endfor', constants, include);
    const found = lines.filter(({ text }) => text !== "").map(({ file, line }) => `${file}:${line}`);
    expect(found).toEqual(["a.wgsl:1", "b.wgsl:2", "k.wgsl:3", "k.wgsl:3"]);
  });

  it.each([
    ["x\n#if NOTHING\n#endif", 'kernels/k.wgsl:2  "NOTHING" in "NOTHING" is not a constant of this kernel'],
    ["#if (N\n#endif", 'kernels/k.wgsl:1  ")" is missing in "(N"'],
    ["#if N N\n#endif", 'kernels/k.wgsl:1  "N" is unexpected in "N N"'],
    ["#if N", "kernels/k.wgsl:1  #if without #endif"],
    ["#for i in 0..2", "kernels/k.wgsl:1  #for without #endfor"],
    ["#for i of 3\n#endfor", 'kernels/k.wgsl:1  "#for i of 3" is not #for NAME in FIRST..END'],
    ["#define A", 'kernels/k.wgsl:1  "#define" is not a directive here'],
  ])("say what is wrong: %j", (source, message) => {
    expect(() => run(source)).toThrow(message);
  });
});
