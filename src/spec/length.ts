// An architecture for sequences of a certain length: some ways of stretching rotary positions depend on it.
import type { ArchitectureSpec, MixerSpec, RopeSpec } from "./types.ts";

/**
 * The architecture with every rotary scaling that depends on the length of the sequence set for `tokens`, or for what it says
 * itself where that is more. The spec itself where none depends on it.
 */
export function forLength(spec: ArchitectureSpec, tokens: number): ArchitectureSpec {
  let changed = false;
  const longer = (rope: RopeSpec): RopeSpec => {
    const { scaling } = rope;
    const depends = scaling?.type === "dynamic" || (scaling?.type === "longrope" && scaling.long_factors !== null);
    if (!depends || tokens <= scaling.length) return rope;
    changed = true;
    return { ...rope, scaling: { ...scaling, length: tokens } };
  };
  const turned = <O extends MixerSpec>(operator: O & { readonly rope: RopeSpec | null }): O =>
    operator.rope === null ? operator : { ...operator, rope: longer(operator.rope) };
  const layers = spec.layers.map((layer) => ({
    ...layer,
    branches: layer.branches.map((branch) =>
      "rope" in branch.operator ? { ...branch, operator: turned(branch.operator) } : branch,
    ),
  }));
  return changed ? { ...spec, layers } : spec;
}
