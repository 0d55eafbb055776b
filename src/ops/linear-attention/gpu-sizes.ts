// Sizes of a bound linear attention as the GPU kernels know them.
import type { GpuTensor } from "../../runtime/webgpu/lowering.ts";
import { decayStrides } from "./decay.ts";
import { hasBeta, type LinearAttentionAttributes } from "./op.ts";
import { CHUNK, type LinearAttentionShape, linearAttentionShape, readersOf } from "./shapes.ts";

export interface AttentionSizes extends LinearAttentionShape {
  readonly batch: number;
  readonly time: number;
  /** Chunks of 64 tokens, as in the output `starts`. */
  readonly chunks: number;
  readonly readers: number;
  readonly delta: boolean;
  /** 0: no decay, 1: one per head, 2: one per key. */
  readonly decayRank: 0 | 1 | 2;
}

export function attentionSizes(
  name: string,
  node: { readonly inputs: readonly (GpuTensor | undefined)[]; readonly attributes: LinearAttentionAttributes },
): AttentionSizes {
  const [q, k, v, decay] = node.inputs;
  const shape = linearAttentionShape(name, q, k, v);
  const [batch = 0, time = 0] = q?.shape ?? [];
  return {
    ...shape,
    batch,
    time,
    chunks: Math.ceil(time / CHUNK),
    readers: readersOf(shape),
    delta: hasBeta(node.attributes.rule),
    decayRank: decay === undefined ? 0 : decay.shape.length === 4 ? 2 : 1,
  };
}

/** What kernels of linear attention are specialised for. Sizes are not: layers and prompts of any share pipelines. */
export function headConstants({ readers, decayRank, delta }: AttentionSizes): Record<string, number> {
  return { READERS: readers, DECAY: decayRank, DELTA: delta ? 1 : 0 };
}

/** Sizes and head counts as kernels/linear_attention/heads.wgsl reads them. */
export function headUniforms(sizes: AttentionSizes): Record<string, number> {
  const { time, keyDim, valueDim, stateHeads, queryHeads, keyHeads, outputHeads } = sizes;
  return {
    ...{ time, keys: keyDim, values: valueDim, heads: stateHeads },
    ...{ query_heads: queryHeads, key_heads: keyHeads, outputs: outputHeads },
    ...{ outputs_per_query: outputHeads / queryHeads, heads_per_key: stateHeads / keyHeads },
  };
}

/** The scale as a uniform. */
export const scaleUniform = (value: number) => ({ scale: { kind: "float", value } as const });

export function decayStrideUniforms(decay: GpuTensor | undefined): Record<string, number> {
  if (decay === undefined) return {};
  const { batch, time } = decayStrides(decay);
  return { decay_batch: batch, decay_time: time };
}
