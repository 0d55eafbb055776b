// The page: what one reads and writes. The work is done by worker.ts.
import {
  checkSpec,
  type Device,
  formatDiagnostics,
  formatNumber,
  inspect,
  linePlot,
  smooth,
  stackDiagram,
} from "../../src/index.ts";
import { FILE, type Reply, type Request } from "./protocol.ts";
import type { StateSize } from "./session.ts";
import { bundledText, presets } from "./texts.ts";

type Kind = { new (): HTMLElement };

/** The element of that id. */
function at<K extends Kind>(id: string, kind: K): InstanceType<K> {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} "${id}"`);
  return element as InstanceType<K>;
}

const architecture = at("architecture", HTMLTextAreaElement);
const text = at("text", HTMLTextAreaElement);
const prompt = at("prompt", HTMLTextAreaElement);
const preset = at("preset", HTMLSelectElement);
const device = at("device", HTMLSelectElement);
const buttons = {
  train: at("train", HTMLButtonElement),
  continue: at("continue", HTMLButtonElement),
  stop: at("stop", HTMLButtonElement),
  write: at("write", HTMLButtonElement),
};
const output = at("output", HTMLElement);
const numberIn = (id: string): number => at(id, HTMLInputElement).valueAsNumber;
const whole = (value: number): string => Math.round(value).toLocaleString("en");

function put(id: string, content: string): void {
  at(id, HTMLElement).textContent = content;
}

/** Shows a message in a box of its own, or hides the box. */
function complain(id: "diagnostics" | "failure", message: string): void {
  const box = at(id, HTMLElement);
  const lines = message.split("\n").map((text) => {
    const line = document.createElement("div");
    line.textContent = text;
    // A caret stands under its character: only other lines may wrap.
    line.className = /^ +\d* \| /.test(text) ? "excerpt" : "";
    return line;
  });
  box.replaceChildren(...lines);
  box.hidden = message === "";
}

// --- The architecture, checked as it is typed.

/** Whether the architecture is free of errors; shows them, and what the model would be. */
function check(): boolean {
  const { spec, diagnostics } = checkSpec(architecture.value, { file: FILE });
  complain("diagnostics", formatDiagnostics(diagnostics));
  if (spec === undefined) return false;
  at("stack", HTMLElement).innerHTML = stackDiagram(spec);
  try {
    const context = Math.min(numberIn("length") || 1, spec.positions?.max_length ?? Number.POSITIVE_INFINITY);
    const { parameters, contexts } = inspect(spec, { contexts: [context] });
    const state = `${whole(contexts[0]?.state.total ?? 0)} bytes of state at ${whole(context)} tokens`;
    put("sketch", `${whole(parameters.total)} parameters, ${state}`);
  } catch (error) {
    complain("diagnostics", error instanceof Error ? error.message : String(error));
  }
  return true;
}

let waiting: number | undefined;
architecture.oninput = () => {
  clearTimeout(waiting);
  waiting = window.setTimeout(check, 200);
};
at("length", HTMLInputElement).onchange = check;

for (const name of Object.keys(presets))
  preset.add(new Option(name, name, name === "quickstart", name === "quickstart"));
preset.onchange = () => {
  architecture.value = presets[preset.value] ?? "";
  check();
};
architecture.value = presets.quickstart ?? "";
text.placeholder = `Paste a text here. Until then: ${formatNumber(bundledText.length, "bytes")} of TypeScript's declarations.`;
check();

// --- The worker.

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
const ask = (request: Request): void => worker.postMessage(request);

function putState({ stateBytes, position }: StateSize): void {
  put("state", whole(stateBytes));
  put("state-label", `state at ${whole(position)} tokens, bytes`);
}

/** Why there is only one thread, where that is so. */
function isolation(description: string): string {
  const lacks = description.startsWith("WebAssembly") && !crossOriginIsolated;
  return lacks ? ": the page is served without the headers that let browsers share memory between threads" : "";
}

/** Losses so far, by step. */
let losses: [step: number, loss: number][] = [];
let wantedSteps = 0;

function draw(): void {
  const few = losses.length <= 20;
  at("plot", HTMLElement).innerHTML = linePlot({
    title: "Loss",
    xLabel: "step",
    yLabel: "nats per byte",
    width: 720,
    height: 300,
    series: few
      ? [{ name: "", points: losses, dots: true }]
      : [
          { name: "each step", points: losses, style: "faint", colour: 0 },
          { name: "smoothed", points: smooth(losses, Math.max(5, losses.length / 40)), colour: 0 },
        ],
  });
}

/** Steps may come faster than a screen shows them. */
let frame = 0;
function drawSoon(): void {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(draw);
}

function setBusy(busy: boolean, trained = false): void {
  buttons.train.disabled = busy;
  buttons.stop.disabled = !busy;
  buttons.continue.disabled = busy || !trained;
  buttons.write.disabled = busy || !trained;
  document.body.dataset.state = busy ? "busy" : "idle";
}

function show(reply: Reply): void {
  switch (reply.kind) {
    case "gpu": {
      const [option] = device.options;
      if (option !== undefined) option.disabled = false;
      if (option !== undefined) option.value = reply.device;
      device.value = reply.device;
      put("note", `${reply.description}.`);
      break;
    }
    case "no-gpu":
      put("note", `No WebGPU: ${reply.reason}.`);
      break;
    case "opened":
      put("runtime", reply.description + isolation(reply.description));
      put("parameters", whole(reply.parameters));
      putState(reply);
      break;
    case "step":
      losses.push([reply.step, reply.loss]);
      put("step", `${whole(reply.step)} of ${whole(wantedSteps)}`);
      put("loss", reply.loss.toFixed(3));
      put("training-speed", whole(reply.tokensPerSecond));
      drawSoon();
      break;
    case "text":
      output.append(reply.text);
      break;
    case "written":
      putState(reply);
      put("written", `${whole(reply.tokens)} tokens, ${whole(reply.tokensPerSecond)} tokens/s`);
      break;
    case "error":
      complain("failure", reply.message);
      put("runtime", "");
      break;
    case "idle":
      setBusy(false, reply.trained);
      break;
  }
}

worker.onmessage = ({ data }: MessageEvent<Reply>) => show(data);
worker.onerror = ({ message }) => {
  complain("failure", `The worker failed: ${message}`);
  setBusy(false);
};

at("training", HTMLFormElement).onsubmit = (event) => {
  event.preventDefault();
  complain("failure", "");
  if (!check()) return architecture.focus();
  losses = [];
  wantedSteps = numberIn("steps");
  setBusy(true);
  put("runtime", "Compiling …");
  for (const id of ["parameters", "step", "loss", "training-speed", "state"]) put(id, "–");
  draw();
  ask({
    kind: "train",
    steps: wantedSteps,
    settings: {
      architecture: architecture.value,
      text: text.value || bundledText,
      device: device.value as Device,
      batch: numberIn("batch"),
      length: numberIn("length"),
      learningRate: numberIn("rate"),
    },
  });
};

buttons.continue.onclick = () => {
  complain("failure", "");
  const steps = numberIn("steps");
  wantedSteps = (losses.at(-1)?.[0] ?? 0) + steps;
  setBusy(true);
  ask({ kind: "continue", steps });
};

buttons.stop.onclick = () => ask({ kind: "stop" });

at("writing", HTMLFormElement).onsubmit = (event) => {
  event.preventDefault();
  complain("failure", "");
  setBusy(true);
  const start = document.createElement("b");
  start.textContent = prompt.value;
  output.replaceChildren(start);
  put("written", "");
  ask({
    kind: "write",
    writing: {
      prompt: prompt.value,
      maxTokens: numberIn("tokens"),
      temperature: numberIn("temperature"),
      seed: crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
    },
  });
};

draw();
setBusy(true);
ask({ kind: "find-gpu", software: new URLSearchParams(location.search).has("software") });
