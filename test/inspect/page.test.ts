// The page that `hybraid inspect --html` writes: nothing from elsewhere, nothing unescaped.
import { describe, expect, it } from "vitest";
import { stackDiagram } from "../../src/inspect/diagram.ts";
import { inspectionPage } from "../../src/inspect/page.ts";
import { loadSpecFile } from "../../src/spec/node/files.ts";

const file = (name: string) => loadSpecFile(`architectures/${name}.yaml`);

/** Throws where the tags of XML-like text do not nest. */
function checkNesting(text: string): void {
  const open: string[] = [];
  for (const [tag, closing = "", name = "", selfClosing = ""] of text.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
    if (selfClosing === "/" || ["meta"].includes(name)) continue;
    if (closing === "") open.push(name);
    else if (open.pop() !== name) throw new Error(`${tag} closes nothing`);
  }
  expect(open).toEqual([]);
}

describe("the page", () => {
  const page = inspectionPage(file("samba"), [1024, 4096]);

  it("needs nothing from elsewhere: no script, no style sheet, no image, no font", () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|@font-face|url\(/);
    expect(page.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:/);
  });

  it("holds the diagram, six plots with two curves each, and both color schemes", () => {
    expect(page.match(/class="hy-stack"/g)).toHaveLength(1);
    expect(page.match(/class="hy-plot"/g)).toHaveLength(6);
    expect(page.match(/>attention only</g)).toHaveLength(6);
    expect(page).toContain("prefers-color-scheme:dark");
  });

  it("shows the state of the model beside that of attention alone", () => {
    expect(page).toContain("state at 4K tokens; 8 MiB with attention only");
  });

  it("nests its tags", () => checkNesting(page));

  it("escapes what comes from the file", () => {
    const spec = { ...file("mamba"), name: "<b>&", description: '"</p><script>alert(1)</script>' };
    const text = inspectionPage(spec, [16]);
    expect(text).not.toContain("<script>");
    expect(text).toContain("<h1>&lt;b&gt;&amp;</h1>");
  });

  it("ends its curves where learned positions end", () => {
    expect(() => inspectionPage(file("gpt2"))).not.toThrow();
  });
});

describe("the diagram", () => {
  it("has a box for each layer of the folded stack, in the colour of its family", () => {
    const svg = stackDiagram(file("falcon-h1"));
    for (const [family, count] of [
      ["ssm", 1],
      ["attention", 1],
      ["ffn", 1],
      ["end", 2],
    ] as const) {
      expect(svg.match(new RegExp(`<rect class="${family}"`, "g"))).toHaveLength(count);
    }
    expect(svg).toContain("× 3");
    checkNesting(svg);
  });

  it("draws shared blocks with a double frame", () => {
    const svg = stackDiagram(file("zamba"));
    expect(svg.match(/<rect class="attention"/g)).toHaveLength(2);
    expect(svg).toContain("shared weights, used 2×");
  });
});
