// Compiled kernels. A pipeline is known by its text; texts are compiled asynchronously and in parallel, each once.
import { RuntimeError } from "../types.ts";
import type { GpuContext } from "./device.ts";
import type { KernelTexts } from "./host.ts";
import { assembleShader, type Shader, type ShaderParts } from "./shader.ts";

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class PipelineCache {
  readonly #context: GpuContext;
  readonly #texts: KernelTexts;
  readonly #pipelines = new Map<string, Promise<Pipeline>>();

  constructor(context: GpuContext, texts: KernelTexts) {
    this.#context = context;
    this.#texts = texts;
  }

  /** Text of a file under kernels/. */
  text(path: string): string {
    const text = this.#texts[path];
    if (text === undefined) throw new RuntimeError(`there is no kernel file kernels/${path} (npm run build:kernels)`);
    return text;
  }

  /** {@link text}, as a function to hand on. */
  readonly include = (path: string): string => this.text(path);

  /** @throws RuntimeError with the compiler's complaints at the kernel's file and line. */
  get(parts: ShaderParts): Promise<Pipeline> {
    const shader = assembleShader(parts, this.include);
    let pipeline = this.#pipelines.get(shader.code);
    if (pipeline === undefined) {
      pipeline = compile(this.#context, parts, shader);
      this.#pipelines.set(shader.code, pipeline);
    }
    return pipeline;
  }
}

async function compile(context: GpuContext, parts: ShaderParts, shader: Shader): Promise<Pipeline> {
  const { device } = context;
  const label = parts.members.map(({ file }) => file).join(" + ");
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label, code: shader.code });
  const entries = parts.variables.map(({ writable }, binding) => ({
    binding,
    visibility: GPUShaderStage.COMPUTE,
    buffer: { type: writable ? ("storage" as const) : ("read-only-storage" as const) },
  }));
  const uniform = {
    binding: entries.length,
    visibility: GPUShaderStage.COMPUTE,
    buffer: { type: "uniform" as const },
  };
  const layout = device.createBindGroupLayout({ entries: parts.uniforms.length > 0 ? [...entries, uniform] : entries });
  const created = device
    .createComputePipelineAsync({
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    })
    .then(
      (pipeline) => pipeline,
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    );
  const scope = device.popErrorScope();
  const [pipeline, invalid] = await context.wait(Promise.all([created, scope]));
  if (pipeline instanceof Error || invalid !== null) {
    const { messages } = await module.getCompilationInfo();
    const complaints = messages
      .filter(({ type }) => type === "error")
      .map(({ lineNum, linePos, message }) => {
        const line = shader.lines[lineNum - 1];
        return `kernels/${line?.file}:${line?.line}:${linePos}  ${message}\n    ${line?.text.trim()}`;
      });
    const reason = pipeline instanceof Error ? pipeline.message : invalid?.message;
    throw new RuntimeError(`${label} does not compile:\n${complaints.join("\n") || reason}`);
  }
  return { pipeline, layout };
}
