// Plots: the right picture from the right numbers, and no broken SVG whatever the data.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { escapeXml, type LinePlot, linePlot } from "../../src/plot/line-plot.ts";
import { formatNumber, makeScale, makeTicks, type NumberFormat, type ScaleType } from "../../src/plot/ticks.ts";

const plot = (change: Partial<LinePlot>) => linePlot({ title: "t", xLabel: "x", yLabel: "y", series: [], ...change });
const ticksOf = (type: ScaleType, values: number[], count = 5) =>
  makeTicks(makeScale(type, values, [0, 100], count), type, count);
/** Ends of the drawn lines of series, as [x, y] pixels. */
const paths = (svg: string) =>
  [...svg.matchAll(/<path class="hy-c\d hy-main" d="(M[^"]*L[^"]*)"/g)].map((match) =>
    (match[1] ?? "")
      .split(/[ML]/)
      .slice(1)
      .map((pair) => pair.split(",").map(Number)),
  );

describe("ticks", () => {
  test.each<[ScaleType, number[], number[]]>([
    ["linear", [0, 10], [0, 2, 4, 6, 8, 10]],
    ["linear", [5, 5], [2, 3, 4, 5, 6, 7, 8]],
    ["log", [1.2, 9], [1, 2, 5, 10]],
    ["log", [0.9, 40], [0.5, 1, 2, 5, 10, 20, 50]],
    ["log", [1, 1e6], [1, 100, 10_000, 1e6]],
    ["log2", [1024, 16384], [1024, 2048, 4096, 8192, 16384]],
    ["log2", [1024, 2 ** 20], [2 ** 10, 2 ** 12, 2 ** 14, 2 ** 16, 2 ** 18, 2 ** 20]],
  ])("on a %s axis over %j are %j", (type, values, expected) => {
    expect(ticksOf(type, values)).toEqual(expected);
  });

  test("lie within the axis, in order, on any data", () => {
    const positive = fc.double({ min: 1e-12, max: 1e12, noNaN: true });
    fc.assert(
      fc.property(
        fc.constantFrom<ScaleType>("linear", "log", "log2"),
        fc.array(positive, { maxLength: 5 }),
        (type, values) => {
          const scale = makeScale(type, values, [0, 100], 6);
          const ticks = makeTicks(scale, type, 6);
          expect(ticks.length).toBeLessThan(16);
          for (const [i, tick] of ticks.entries()) {
            expect(scale(tick)).toBeGreaterThan(-0.01);
            expect(scale(tick)).toBeLessThan(100.01);
            if (i > 0) expect(tick).toBeGreaterThan(ticks[i - 1] ?? 0);
          }
          for (const value of values) expect(scale(value)).toBeCloseTo(Math.min(100, Math.max(0, scale(value))), 6);
        },
      ),
    );
  });

  test.each<[number, NumberFormat, string]>([
    [0, "plain", "0"],
    [0.25, "plain", "0.25"],
    [-1.5, "plain", "−1.5"],
    [2e-5, "plain", "2·10⁻⁵"],
    [1e7, "plain", "10⁷"],
    [1500, "metric", "1.5k"],
    [999_999, "metric", "1000k"],
    [2e9, "metric", "2G"],
    [0.5, "metric", "0.5"],
    [1536, "bytes", "1.5 KiB"],
    [2 ** 30, "bytes", "1 GiB"],
    [131072, "length", "128K"],
    [200_000, "length", "200k"],
    [512, "length", "512"],
  ])("%d as %s is %s", (value, format, text) => {
    expect(formatNumber(value, format)).toBe(text);
  });
});

describe("a line plot", () => {
  test("places points where the axes say", () => {
    const svg = plot({
      series: [
        {
          name: "a",
          points: [
            [0, 0],
            [10, 10],
          ],
        },
      ],
      width: 500,
      height: 300,
    });
    const [[start = [], end = []] = []] = paths(svg);
    expect(start[0]).toBeLessThan(80);
    expect(end[0]).toBeGreaterThan(440);
    expect(start[1]).toBe(300 - 46);
    expect(end[1]).toBeLessThan(80);
  });

  test("leaves gaps for what has no place: NaN, infinity, zero on a log axis", () => {
    const points = [
      [1, 1],
      [2, 2],
      [3, 0],
      [4, 4],
      [5, 5],
      [6, Number.NaN],
      [7, 7],
      [8, 8],
    ] as const;
    const svg = plot({ series: [{ name: "a", points }], yScale: "log" });
    expect(svg.match(/<path class="hy-c0 hy-main" d="M[^L"]+L[^M"]+M[^L"]+L[^M"]+M[^L"]+L[^M"]+"/)).not.toBeNull();
    expect(svg).not.toContain("NaN");
  });

  test("draws many points with few, keeping every extreme", () => {
    const points = Array.from({ length: 100_000 }, (_, i) => [i, i === 54_321 ? 1000 : Math.sin(i)] as const);
    const svg = plot({ series: [{ name: "a", points }] });
    expect(svg.length).toBeLessThan(100_000);
    const [path = []] = paths(svg);
    expect(path.length).toBeLessThan(5000);
    expect(Math.min(...path.map(([, y]) => y ?? 0))).toBeLessThan(80);
  });

  test("names its series, shares and repeats colours, marks single points", () => {
    const series = Array.from({ length: 10 }, (_, i) => ({ name: `series ${i}`, points: [[1, i + 1]] as const }));
    const svg = plot({ series });
    for (let i = 0; i < 10; i++) expect(svg).toContain(`>series ${i}</text>`);
    expect(svg.match(/<circle/g)).toHaveLength(10);
    expect(svg).toContain('<circle class="hy-c1"');
  });

  test("is well-formed whatever the names and numbers", () => {
    const points = fc.array(fc.tuple(fc.double(), fc.double()), { maxLength: 6 });
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        points,
        fc.constantFrom<ScaleType>("linear", "log", "log2"),
        (name, data, type) => {
          const svg = plot({ title: name, series: [{ name, points: data }], xScale: type, yScale: type });
          expect(svg).not.toMatch(/NaN|Infinity|undefined/.test(name) ? /$^/ : /NaN|Infinity|undefined/);
          const opened = svg.match(/<(svg|text|title|style)\b/g)?.length;
          expect(svg.match(/<\/(svg|text|title|style)>/g)?.length).toBe(opened);
        },
      ),
    );
  });

  test("escapes markup and replaces what XML forbids", () => {
    expect(escapeXml('<a & "b">\u0000\ud800')).toBe("&lt;a &amp; &quot;b&quot;&gt;\ufffd\ufffd");
  });

  test("says so when there is nothing to draw", () => {
    expect(plot({ series: [{ name: "a", points: [] }] })).toContain(">no data</text>");
  });
});
