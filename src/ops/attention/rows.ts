// What the GPU kernels of attention are given besides their files: rows of channels as vec4s whatever the number of
// channels, the constants of scores, and how many threads share a row.
import { type FloatValue, float } from "../../runtime/webgpu/lowering.ts";
import type { AttentionAttributes } from "./sizes.ts";

/** Names of bindings whose rows are read or written, by the number of channels. */
export interface RowBindings {
  readonly channels: number;
  /** vec4s that a kernel asks for: those beyond the channels are zero. */
  readonly vectors: number;
  readonly read: readonly string[];
  readonly written: readonly string[];
}

/** Elements that one access of a row of that many channels moves. */
export const widthOf = (channels: number): 1 | 4 => (channels % 4 === 0 ? 4 : 1);

/** WGSL functions `x_at(row, c)` and `x_put(row, c, value)`: vec4 number c of a row of a binding. */
export function rowAccess({ channels, vectors, read, written }: RowBindings): string {
  const whole = channels % 4 === 0;
  const padded = 4 * vectors > channels;
  const lanes = ["x", "y", "z", "w"];
  const loads = read.map((name) => {
    if (whole) {
      const load = `${name}_load4(row * ${channels / 4}u + c)`;
      if (!padded) return `fn ${name}_at(row: u32, c: u32) -> vec4f { return ${load}; }`;
      return `fn ${name}_at(row: u32, c: u32) -> vec4f { var v = vec4f(); if (c < ${channels / 4}u) { v = ${load}; } return v; }`;
    }
    const each = lanes.map(
      (lane, k) =>
        `if (4u * c + ${k}u < ${channels}u) { v.${lane} = ${name}_load(row * ${channels}u + 4u * c + ${k}u); }`,
    );
    return `fn ${name}_at(row: u32, c: u32) -> vec4f { var v = vec4f(); ${each.join(" ")} return v; }`;
  });
  const stores = written.map((name) => {
    if (whole) {
      const store = `${name}_store4(row * ${channels / 4}u + c, v);`;
      const guarded = padded ? `if (c < ${channels / 4}u) { ${store} }` : store;
      return `fn ${name}_put(row: u32, c: u32, v: vec4f) { ${guarded} }`;
    }
    const each = lanes.map(
      (lane, k) =>
        `if (4u * c + ${k}u < ${channels}u) { ${name}_store(row * ${channels}u + 4u * c + ${k}u, v.${lane}); }`,
    );
    return `fn ${name}_put(row: u32, c: u32, v: vec4f) { ${each.join(" ")} }`;
  });
  return [...loads, ...stores].join("\n");
}

/** Constants of masks and scores, which are in units of log2; a cap's division is part of the factor. */
export function scoreConstants({
  scale,
  causal,
  window,
  softcap,
}: AttentionAttributes): Record<string, number | boolean | FloatValue> {
  const log2 = Math.LOG2E;
  return {
    CAUSAL: causal,
    WINDOW: window,
    CAPPED: softcap > 0,
    CAP: float(softcap * log2),
    SCORE_SCALE: float(softcap > 0 ? scale / softcap : scale * log2),
  };
}

/** Threads that share a row, so that each holds at most `most` vec4s of it. */
export function lanesFor(vectors: number, most: number): number {
  let lanes = 1;
  while (Math.ceil(vectors / lanes) > most) lanes *= 2;
  return lanes;
}
