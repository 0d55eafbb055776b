// The playground as its user meets it: built by vite, served over HTTP, in a headless Chromium whose GPU is SwiftShader.
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { build } from "vite";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Session } from "../../docs/playground/session.ts";
import { chromiumOptions } from "../../scripts/chromium.mjs";
import { type Server, serveFolder } from "./serve.ts";

const architecture = `name: small
d_model: 32
vocab_size: 256
blocks:
  M: {mixer: {type: mamba, d_state: 8}}
  A: {mixer: {type: attention, n_heads: 2, window: 32, rope: true}}
  F: {ffn: {type: mlp, d_ff: 64, gated: true}}
layers: MFAF
`;
const text = "The quick brown fox jumps over the lazy dog. ".repeat(40);
const numbers = { batch: 2, length: 64, learningRate: 0.01 };
const STEPS = 12;

/** Losses of the same training in this process, on wasm. */
async function lossesInNode(): Promise<number[]> {
  const session = await Session.open({ architecture, text, device: "wasm", ...numbers });
  const losses: number[] = [];
  for await (const { loss } of session.train(STEPS, new AbortController().signal)) losses.push(loss);
  await session.close();
  return losses;
}

const hasBrowser = process.platform === "linux" && process.arch === "x64";

describe.skipIf(!hasBrowser)("the playground (its browser, @sparticuz/chromium, is for Linux on x64)", () => {
  const folder = mkdtempSync(join(tmpdir(), "hybraid-playground-"));
  let browser: Browser;
  let server: Server;
  let page: Page;
  /** What went wrong in the page without being said on it. */
  const mishaps: string[] = [];

  beforeAll(async () => {
    const site = join(folder, "site");
    await build({ configFile: "docs/playground/vite.config.ts", logLevel: "error", build: { outDir: site } });
    server = await serveFolder(site, { isolated: true });
    browser = await chromium.launch({ ...chromiumOptions(), timeout: 120_000 });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  beforeEach(async () => {
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(280_000);
    page.on("pageerror", ({ message }) => mishaps.push(message));
    page.on("console", (message) => message.type() === "error" && mishaps.push(message.text()));
    page.on("requestfailed", (request) => mishaps.push(`${request.url()}: ${request.failure()?.errorText}`));
    mishaps.length = 0;
  });

  afterEach(async () => {
    await page.close();
    expect(mishaps).toEqual([]);
  });

  const idle = async (): Promise<void> => void (await page.waitForSelector("body[data-state=idle]"));
  const shown = async (id: string): Promise<string> => (await page.textContent(`#${id}`)) ?? "";
  const shownNumber = async (id: string): Promise<number> => Number((await shown(id)).replaceAll(",", ""));

  async function open(address: string): Promise<void> {
    await page.goto(address);
    await idle();
  }

  /** Opens the page and fills in the small model. */
  async function openSmall(address: string): Promise<void> {
    await open(address);
    await page.fill("#architecture", architecture);
    await page.fill("#text", text);
    await page.fill("#batch", String(numbers.batch));
    await page.fill("#length", String(numbers.length));
    await page.fill("#rate", String(numbers.learningRate));
  }

  async function train(button: "train" | "continue", steps: number): Promise<number> {
    await page.fill("#steps", String(steps));
    await page.click(`#${button}`);
    await idle();
    expect(await shown("failure")).toBe("");
    return shownNumber("loss");
  }

  it.each([
    { device: "WebAssembly", runtime: /^WebAssembly, (\d+) threads?, (relaxed )?SIMD/ },
    { device: "WebGPU", runtime: /^WebGPU, google swiftshader$/ },
  ])("trains as in Node and writes on $device", async ({ device, runtime }) => {
    await openSmall(`${server.url}?software`);
    await page.selectOption("#device", { label: device });
    const expected = await lossesInNode();
    expect(await train("train", 1)).toBeCloseTo(expected[0] ?? 0, 2);
    const last = await train("continue", STEPS - 1);
    expect(last).toBeCloseTo(expected.at(-1) ?? 0, 2);
    expect(last).toBeLessThan(0.8 * (expected[0] ?? 0));
    expect(await shown("step")).toBe(`${STEPS} of ${STEPS}`);
    expect(await shownNumber("training-speed")).toBeGreaterThan(0);
    expect(await shown("runtime")).toMatch(runtime);
    expect(await shown("sketch")).toContain(`${await shown("parameters")} parameters`);
    expect(await page.locator("#plot circle").count()).toBe(STEPS);

    await page.fill("#prompt", "The quick ");
    await page.fill("#tokens", "24");
    await page.fill("#temperature", "0");
    await page.click("#write");
    await idle();
    expect(await shown("failure")).toBe("");
    const output = await shown("output");
    expect(output.startsWith("The quick ")).toBe(true);
    expect(output.length).toBeGreaterThan("The quick ".length + 6);
    expect(await shown("written")).toMatch(/^24 tokens, [\d,]+ tokens\/s$/);
    // Mamba: 64 channels by 8 states and 3 inputs of the convolution; attention: keys and values of 32 tokens (its window) by 32.
    expect(await shownNumber("state")).toBe(4 * (64 * 8 + 64 * 3 + 2 * 32 * 32));

    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      const path = join(folder, `${device}-${colorScheme}.png`);
      await page.screenshot({ path, fullPage: true });
      expect(statSync(path).size).toBeGreaterThan(20_000);
    }
  });

  it("has a thread for each core, and goes on to answer while it trains", async () => {
    await openSmall(server.url);
    await page.fill("#steps", "1000000");
    await page.click("#train");
    await page.waitForFunction(() => Number.parseInt(document.querySelector("#step")?.textContent ?? "", 10) > 2);
    await page.click("#stop");
    await idle();
    const cores = await page.evaluate(() => navigator.hardwareConcurrency);
    expect(await shown("runtime")).toContain(`, ${cores} thread`);
    expect(await shown("failure")).toBe("");
  });

  it("says why there is no WebGPU, and offers wasm", async () => {
    await open(server.url);
    expect(await shown("note")).toMatch(/^No WebGPU: the only adapter is software/);
    expect(await page.inputValue("#device")).toBe("wasm");
    expect(await page.locator("#device option[value=webgpu]").isDisabled()).toBe(true);
  });

  it("shows what is wrong with an architecture under the line, and the parameters of a right one", async () => {
    await open(server.url);
    expect(await shown("sketch")).toBe("955,008 parameters, 169,984 bytes of state at 256 tokens");
    expect(await page.locator("#diagnostics").isHidden()).toBe(true);
    await page.fill("#architecture", architecture.replace("type: mamba,", "type: mamab,"));
    const diagnostics = page.locator("#diagnostics");
    await diagnostics.waitFor({ state: "visible" });
    expect(await diagnostics.innerText()).toBe(
      [
        'architecture.yaml:5:21  blocks.M.mixer.type: "mamab" is not a mixer; did you mean "mamba"?',
        "  5 |   M: {mixer: {type: mamab, d_state: 8}}",
        "    |                     ^^^^^",
      ].join("\n"),
    );
    await page.click("#train");
    await idle();
    expect(await shown("step")).toBe("–");
  });

  it("says what is wrong with a text that is too short", async () => {
    await openSmall(server.url);
    await page.fill("#text", "short");
    await page.click("#train");
    await idle();
    expect(await shown("failure")).toMatch(/^the text: too short: 5 tokens/);
  });

  it("trains on one thread where the page is not isolated, and says why", async () => {
    const plain = await serveFolder(join(folder, "site"), { isolated: false });
    try {
      await openSmall(plain.url);
      const first = await train("train", 1);
      expect(await train("continue", 5)).toBeLessThan(first);
      expect(await shown("runtime")).toMatch(/^WebAssembly, 1 thread, .*: the page is served without the headers/);
    } finally {
      await plain.close();
    }
  });
});
