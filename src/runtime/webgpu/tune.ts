// Measures what the tuner was asked and did not know: the node alone, with each candidate, on zeros of its shapes and storage.
// What is found is kept for the adapter; programs compiled later, in this process or another, choose by it.
import { makeGraph } from "../../graph/graph.ts";
import { input, parameter } from "../../graph/leaves.ts";
import { sizeOf } from "../../graph/shape.ts";
import { apply, type Graph, type Tensor } from "../../graph/types.ts";
import type { CompileOptions, HostArray, Program } from "../types.ts";
import { WebGpuBuffer } from "./buffer.ts";
import { compileProgram, type Machine } from "./program.ts";
import type { Question } from "./tuner.ts";

/** Turns that each candidate gets; the fastest counts, since disturbances only slow down. */
const TURNS = 5;

/** Like {@link compileProgram}, after measuring the choices that this program has to make and nobody made before. */
export async function compileTuned(graph: Graph, options: CompileOptions, machine: Machine): Promise<Program> {
  machine.tuner.questions();
  const program = await compileProgram(graph, options, machine);
  let better = false;
  for (const question of machine.tuner.questions()) {
    const fastest = await measure(question, machine);
    await machine.tuner.learn(question.key, fastest);
    better ||= fastest !== 0;
  }
  if (!better) return program;
  program.free();
  return compileProgram(graph, options, machine);
}

/** The number of the fastest candidate. */
export async function measure({ key, candidates, op, node }: Question, machine: Machine): Promise<number> {
  const buffers = new Map<string, WebGpuBuffer>();
  const values: Record<string, HostArray> = {};
  const leaves = node.inputs.map((tensor, i): Tensor | undefined => {
    if (tensor === undefined) return undefined;
    const name = String(i);
    if (tensor.dtype === "i32") {
      values[name] = new Int32Array(sizeOf(tensor.shape));
      return input(name, tensor.shape, "i32");
    }
    buffers.set(name, new WebGpuBuffer(machine.context, tensor, tensor.storage));
    return parameter(name, tensor.shape, { kind: "zeros" });
  });
  const outputs = apply(op, leaves, node.attributes).flatMap((tensor, i) =>
    node.outputs[i] === undefined ? [] : [{ name: String(i), tensor }],
  );
  const graph = makeGraph({ outputs });
  const programs: Program[] = [];
  try {
    for (let candidate = 0; candidate < candidates; candidate++) {
      const compile = () => compileProgram(graph, { bindings: { B: 1, T: 1, C: 0 }, buffers }, machine);
      programs.push(await machine.tuner.with(key, candidate, compile));
    }
    const best = programs.map(() => Number.POSITIVE_INFINITY);
    for (let turn = 0; turn <= TURNS; turn++) {
      for (const [i, program] of programs.entries()) {
        const seconds = await time(program, values, machine);
        // The first turn warms up.
        if (turn > 0) best[i] = Math.min(best[i] ?? seconds, seconds);
      }
    }
    return best.indexOf(Math.min(...best));
  } finally {
    for (const program of programs) program.free();
    for (const buffer of buffers.values()) buffer.free();
  }
}

async function time(program: Program, values: Readonly<Record<string, HostArray>>, machine: Machine): Promise<number> {
  if (machine.context.timestamps && program.profile !== undefined) {
    const launches = await program.profile(values);
    const seconds = launches.reduce((sum, launch) => sum + launch.seconds, 0);
    // Browsers round timestamps; what they round to nothing is timed by the clock.
    if (seconds > 0) return seconds;
  }
  const start = performance.now();
  await program.run(values, []);
  return (performance.now() - start) / 1000;
}
