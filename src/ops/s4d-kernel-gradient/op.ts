// s4d_kernel_gradient: gradients of S4D's parameters, given that of its convolution kernel.
import { dimAt, formatShape, GraphError, sizeOf } from "../../graph/shape.ts";
import { apply, type OpDefinition, type Tensor } from "../../graph/types.ts";
import { checkS4dParameters, type Discretization } from "../s4d-kernel/parameters.ts";

export interface S4dKernelGradientAttributes {
  readonly discretization: Discretization;
}

/** Inputs log_dt, A_log_real, A_imag, C, dK; outputs the gradients of the first four. See {@link s4dKernelGradient}. */
export const s4dKernelGradientOp: OpDefinition<S4dKernelGradientAttributes> = {
  name: "s4d_kernel_gradient",
  infer: (inputs) => {
    const { channels } = checkS4dParameters("s4d_kernel_gradient", inputs.slice(0, 4));
    const dK = inputs[4];
    if (dK === undefined) throw new GraphError("s4d_kernel_gradient: dK is missing");
    if (dK.shape.length !== 2 || dimAt(dK.shape, 0) !== channels) {
      throw new GraphError(`s4d_kernel_gradient: dK ${formatShape(dK.shape)} is not [${channels}, time]`);
    }
    return inputs.slice(0, 4).map((parameter) => ({ shape: parameter?.shape ?? [], dtype: "f32" }));
  },
  flops: ([, rates, , , dK]) => 8 * (rates?.shape[1] ?? 0) * sizeOf(dK?.shape ?? []),
};

/**
 * Gradients with respect to log_dt, A_log_real, A_imag and C of K (see `s4dKernel`), given dK f32 [D, T]. With
 * S₀ = Σₗ dK[l] Āˡ and S₁ = Σₗ l dK[l] Āˡ⁻¹, the gradient reaches C · B̄ as 2 S₀ and Ā as 2 C B̄ S₁.
 */
export function s4dKernelGradient(
  parameters: readonly (Tensor | undefined)[],
  dK: Tensor,
  attributes: S4dKernelGradientAttributes,
): readonly Tensor[] {
  return apply(s4dKernelGradientOp, [...parameters, dK], attributes);
}
