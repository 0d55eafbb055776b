// Gradient of matmul. With y = A·B (+ bias): dA = dy·Bᵀ, dB = Aᵀ·dy, dbias = Σ rows dy; transposed operands get the
// transposes. Where every row shares B, dB adds up over all leading axes: matmul_gradient.
import { matmulGradient } from "../matmul-gradient/op.ts";
import { sumTo } from "../reduce/op.ts";
import { type GradientRule, required } from "../types.ts";
import { type MatmulAttributes, matmul } from "./op.ts";

export const gradient: GradientRule<MatmulAttributes> = ({ inputs, attributes, gradients, needs }) => {
  const a = required(inputs[0], "matmul a");
  const b = required(inputs[1], "matmul b");
  const bias = inputs[2];
  const dy = required(gradients[0], "gradient of matmul");
  const { transposeA, transposeB } = attributes;
  const da = () =>
    transposeA
      ? matmul(b, dy, { transposeA: transposeB, transposeB: true })
      : matmul(dy, b, { transposeB: !transposeB });
  const db = () => {
    if (b.shape.length === 2 && !transposeA) return matmulGradient(a, dy, { transposeB });
    return transposeB
      ? matmul(dy, a, { transposeA: true, transposeB: transposeA })
      : matmul(a, dy, { transposeA: !transposeA });
  };
  return [
    needs[0] ? da() : undefined,
    needs[1] ? db() : undefined,
    needs[2] && bias !== undefined ? sumTo(dy, bias.shape) : undefined,
  ];
};
