// Dispatches ready to be encoded: bindings linked, pipelines compiled in parallel, bind groups and uniforms built once.

import { RuntimeError } from "../types.ts";
import type { Region } from "./buffer.ts";
import type { GpuContext } from "./device.ts";
import { link } from "./link.ts";
import type { FloatValue } from "./lowering.ts";
import { type LocatedDispatch, prefixedBindings, prefixOf, shaderMember, workgroupsOf } from "./merge.ts";
import { gridUniforms } from "./merged-shader.ts";
import type { PipelineCache } from "./pipelines.ts";
import { ALIGNMENT, type OwnedBuffers } from "./places.ts";

/** One dispatch, of one kernel or of several that were merged. */
export interface Command {
  readonly members: readonly LocatedDispatch[];
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** @throws RuntimeError where a kernel does not compile, or binds more than the device allows. */
export async function buildCommands(
  groups: readonly (readonly LocatedDispatch[])[],
  context: GpuContext,
  pipelines: PipelineCache,
  owned: OwnedBuffers,
): Promise<Command[]> {
  const { device, facts } = context;
  const prepared = groups.map((members) => {
    const kernel = members.map(({ dispatch }) => dispatch.kernel).join(" + ");
    const linked = link(kernel, prefixedBindings(members), facts);
    for (const { bytes } of linked.entries) {
      if (bytes > facts.maxBinding)
        throw new RuntimeError(`${kernel} binds ${bytes} bytes at once, this device allows ${facts.maxBinding}`);
    }
    const fields: { readonly name: string; readonly value: number | FloatValue }[] = [
      ...members.flatMap((member, i) => uniformsOf(member, prefixOf(members, i))),
      ...linked.bases,
    ];
    const words = new Uint32Array(fields.length);
    for (const [i, { value }] of fields.entries()) {
      if (typeof value === "number") words[i] = value;
      else new Float32Array(words.buffer, 4 * i, 1)[0] = value.value;
    }
    const pipeline = pipelines.get({
      members: members.map((member, i) => shaderMember(member, prefixOf(members, i), pipelines)),
      uniforms: fields.map(({ name, value }) => ({ name, type: typeof value === "number" ? "u32" : "f32" })),
      variables: linked.variables,
      bindings: linked.bindings,
      features: facts,
    });
    // It is awaited below, with the others.
    pipeline.catch(() => {});
    return { members, kernel, pipeline, words, entries: linked.entries };
  });
  const uniforms = allocateUniforms(
    prepared.map(({ words }) => words),
    device,
    owned,
  );
  return Promise.all(
    prepared.map(async ({ members, kernel, pipeline: pending, entries }, i): Promise<Command> => {
      const { pipeline, layout } = await pending;
      const resources = entries.map(({ buffer, offset, bytes }: Region) => ({
        buffer,
        offset,
        size: Math.ceil(bytes / 4) * 4,
      }));
      const uniform = uniforms[i];
      const all = uniform === undefined ? resources : [...resources, uniform];
      const group = device.createBindGroup({
        label: kernel,
        layout,
        entries: all.map((resource, binding) => ({ binding, resource })),
      });
      const [only] = members;
      if (members.length > 1 || only === undefined) {
        const total = members.reduce((sum, { dispatch }) => sum + workgroupsOf(dispatch), 0);
        return { members, pipeline, group, x: total, y: 1, z: 1 };
      }
      const [x, y = 1, z = 1] = only.dispatch.workgroups;
      return { members, pipeline, group, x, y, z };
    }),
  );
}

/** A member's own uniforms, and for merged ones the grid that it believes to be dispatched on. */
function uniformsOf({ dispatch }: LocatedDispatch, prefix: string) {
  const { uniforms = {}, workgroups } = dispatch;
  const own = Object.entries(uniforms).map(([name, value]) => ({ name: `${prefix}${name}`, value }));
  if (prefix === "") return own;
  return [...own, ...gridUniforms.map((name, i) => ({ name: `${prefix}${name}`, value: workgroups[i] ?? 1 }))];
}

/** One buffer with every dispatch's uniforms. */
function allocateUniforms(all: readonly Uint32Array[], device: GPUDevice, owned: OwnedBuffers) {
  let size = 0;
  const offsets = all.map((words) => {
    const offset = size;
    size += Math.ceil((4 * words.length) / ALIGNMENT) * ALIGNMENT;
    return offset;
  });
  if (size === 0) return all.map(() => undefined);
  const data = new Uint32Array(size / 4);
  for (const [i, words] of all.entries()) data.set(words, (offsets[i] ?? 0) / 4);
  const buffer = owned.buffer({ label: "uniforms", size, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(buffer, 0, data);
  return all.map((words, i) =>
    words.length === 0 ? undefined : { buffer, offset: offsets[i] ?? 0, size: Math.ceil((4 * words.length) / 16) * 16 },
  );
}
