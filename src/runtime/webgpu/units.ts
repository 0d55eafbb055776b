// Kernels that work on units of one element or of four (kernels/common/units.wgsl), by one text: for a binding `x` they call
// x_unit(i) and x_put(i, value), which are x_load and x_store, or x_load4 and x_store4.
import type { Binding, Dispatch } from "./lowering.ts";

/** Elements a thread reads at once: four where all of `widths` allow it. */
export const unitOf = (...widths: readonly number[]): 1 | 4 => (widths.every((width) => width % 4 === 0) ? 4 : 1);

/** The dispatch of a kernel file over units of `vector` elements: its bindings named in `units` get that width. */
export function inUnits(dispatch: Dispatch, vector: 1 | 4, units: readonly string[]): Dispatch {
  const { kernel, constants, bindings } = dispatch;
  const lines: string[] = [];
  const widened: Record<string, Binding | undefined> = { ...bindings };
  const suffix = vector === 4 ? "4" : "";
  for (const name of units) {
    const binding = bindings[name];
    if (binding === undefined) continue;
    widened[name] = { ...binding, width: vector };
    if (binding.access !== "write") lines.push(`fn ${name}_unit(i: u32) -> V { return ${name}_load${suffix}(i); }`);
    if (binding.access !== "read") lines.push(`fn ${name}_put(i: u32, value: V) { ${name}_store${suffix}(i, value); }`);
  }
  return {
    ...dispatch,
    source: `${lines.join("\n")}\n#include "${kernel}.wgsl"\n`,
    constants: { ...constants, VECTOR: vector },
    bindings: widened,
  };
}
