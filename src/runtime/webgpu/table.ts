// How the WebGPU runtime dispatches each op. Views (reshape) need no dispatch.

import type { AttributesOf, OpName } from "../../ops/index.ts";
import { lower as map } from "../../ops/map/webgpu.ts";
import type { GpuLowering } from "./lowering.ts";

export const lowerings: { readonly [K in Exclude<OpName, "reshape">]?: GpuLowering<AttributesOf<K>> } = {
  map,
};
