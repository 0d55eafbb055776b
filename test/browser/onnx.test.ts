// Exported models in a headless Chromium, on WebAssembly and on WebGPU (SwiftShader): the pages of docs/onnx.md as they stand, and a
// hybrid with transformers.js. Packages that a page takes from a CDN come from node_modules.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join, resolve } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { chromiumOptions } from "../../scripts/chromium.mjs";
import { examples, exportForExamples } from "../formats/onnx/examples.ts";
import { continued, exportFixture, fixtures } from "../formats/onnx/exported.ts";
import { type Server, serveFolder } from "./serve.ts";

const CDN = "https://cdn.jsdelivr.net/npm/";
const transformersJs = resolve("node_modules/@huggingface/transformers");

/** The file that the CDN has at a path: `package@version/file`. */
function packageFile(path: string): string {
  if (path.startsWith("@huggingface/transformers@")) return join(transformersJs, "dist/transformers.min.js");
  const [, version = "", file = ""] = /^onnxruntime-web@([^/]+)\/(.*)$/.exec(path) ?? [];
  // transformers.js wants the very version that it was built with.
  const home = version === "1.30" ? resolve("node_modules") : join(transformersJs, "node_modules");
  return join(home, "onnxruntime-web", file);
}

/** Writes the ids of a greedy continuation. */
const hybridPage = `<!doctype html><title>a hybrid</title><body><script type="module">
  import { AutoModelForCausalLM, AutoTokenizer, env } from "${CDN}@huggingface/transformers@4";
  Object.assign(env, { allowLocalModels: true, allowRemoteModels: false, localModelPath: "./" });
  const { model, device, prompt } = Object.fromEntries(new URLSearchParams(location.search));
  const tokenizer = await AutoTokenizer.from_pretrained(model);
  const loaded = await AutoModelForCausalLM.from_pretrained(model, { device });
  const options = { max_new_tokens: 12, do_sample: false, eos_token_id: 1000 };
  const output = await loaded.generate({ ...tokenizer(prompt), ...options });
  document.body.textContent = output.tolist()[0].slice(-12).join(" ");
</script></body>
`;

const hasBrowser = process.platform === "linux" && process.arch === "x64";
const devices = ["wasm", "webgpu"] as const;

describe.skipIf(!hasBrowser)("exported models in a browser (@sparticuz/chromium is for Linux on x64)", () => {
  const folder = mkdtempSync(join(tmpdir(), "hybraid-onnx-pages-"));
  const mishaps: string[] = [];
  const pages = examples("page");
  let browser: Browser;
  let server: Server;
  let page: Page;
  let expected = "";

  beforeAll(async () => {
    expected = await exportForExamples(folder);
    for (const [i, code] of pages.entries()) writeFileSync(join(folder, `${i}.html`), code);
    mkdirSync(join(folder, "hybrid"));
    writeFileSync(join(folder, "hybrid/index.html"), hybridPage);
    server = await serveFolder(folder, { isolated: false });
    browser = await chromium.launch({ ...chromiumOptions(), timeout: 120_000 });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    page = await browser.newPage();
    page.setDefaultTimeout(120_000);
    page.on("pageerror", ({ message }) => mishaps.push(message));
    await page.route(`${CDN}**`, async (route) => {
      const path = packageFile(decodeURIComponent(route.request().url().slice(CDN.length)));
      const contentType = extname(path) === ".wasm" ? "application/wasm" : "text/javascript";
      const headers = { "Access-Control-Allow-Origin": "*" };
      await route.fulfill({ body: readFileSync(path), contentType, headers });
    });
    mishaps.length = 0;
  });
  afterEach(async () => {
    await page.close();
    expect(mishaps).toEqual([]);
  });

  it.each([
    { device: "wasm", number: 0, through: "transformers.js" },
    { device: "webgpu", number: 1, through: "onnxruntime" },
  ])("a page of the guide writes what we write, through $through on $device", async ({ device, number }) => {
    expect(pages).toHaveLength(2);
    await page.goto(`${server.url}${number}.html?device=${device}`);
    await page.waitForFunction(() => document.querySelector("#text")?.textContent !== "");
    expect(await page.textContent("#text")).toBe(expected);
  });

  it.each(devices)(
    "a hybrid of state-space layers, attention and experts goes on as ours in transformers.js on %s",
    async (device) => {
      const name = "granitemoehybrid";
      const model = `${name}-${device}`;
      await exportFixture(name, join(folder, "hybrid", model));
      const prompt = "attention-and-states";
      await page.goto(`${server.url}hybrid/?${new URLSearchParams({ model, device, prompt })}`);
      await page.waitForFunction(() => document.body.querySelector("script") === null);
      const tokens = ((await page.textContent("body")) ?? "").split(" ").map(Number);
      expect(tokens).toEqual(await continued(join(fixtures, name), prompt, 12));
    },
  );
});
