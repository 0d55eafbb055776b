// matmul: a matrix product with a weight or, batch by batch, of two tensors; the linear layer.
import { type Dim, dimAt, formatShape, GraphError, sameShape, sizeOf, type TensorType } from "../../graph/shape.ts";
import { applyOne, type OpDefinition, type Tensor } from "../../graph/types.ts";

export interface MatmulAttributes {
  /** a holds the transposed matrices, [.., K, M]. */
  readonly transposeA: boolean;
  /** b holds the transposed matrices, [.., N, K]: the (out, in) layout of linear layers. */
  readonly transposeB: boolean;
}

/** Where the sizes of a product are found in the shapes of its operands, which may hold symbols or numbers. */
export interface ProductSizes<D extends Dim> {
  /** Dimensions that a has before its last one, or b and a before their last two; the product has them too. */
  readonly leading: readonly D[];
  readonly m: D | undefined;
  readonly n: D;
  readonly k: D;
  /** b is one matrix, and every leading index of a is a row. */
  readonly shared: boolean;
}

/** Reads the sizes off operands of checked shapes. m is undefined where a is a single vector [K]. */
export function productSizes<D extends Dim>(
  a: readonly D[],
  b: readonly D[],
  { transposeA, transposeB }: MatmulAttributes,
): ProductSizes<D> {
  const k = b.at(transposeB ? -1 : -2);
  const n = b.at(transposeB ? -2 : -1);
  if (k === undefined || n === undefined) throw new GraphError("matmul: b must have at least two axes");
  return { leading: a.slice(0, -2), m: a.at(transposeA ? -1 : -2), n, k, shared: b.length === 2 };
}

function check(
  a: TensorType | undefined,
  b: TensorType | undefined,
  bias: TensorType | undefined,
  attributes: MatmulAttributes,
): { readonly a: TensorType; readonly b: TensorType } {
  if (a === undefined || b === undefined) throw new GraphError(`matmul: ${a === undefined ? "a" : "b"} is missing`);
  const shapes = `a ${formatShape(a.shape)}, b ${formatShape(b.shape)}`;
  for (const type of [a, b, bias]) {
    if (type !== undefined && type.dtype !== "f32") throw new GraphError(`matmul: operands must be f32 (${shapes})`);
  }
  if (a.shape.length < 1 || b.shape.length < 2) {
    throw new GraphError(`matmul: a needs at least one axis and b two (${shapes})`);
  }
  const { n, k, shared } = productSizes(a.shape, b.shape, attributes);
  if (!shared && !sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2))) {
    throw new GraphError(`matmul: leading axes of a and b must be equal, or b a single matrix (${shapes})`);
  }
  if (attributes.transposeA && a.shape.length !== b.shape.length) {
    throw new GraphError(`matmul: a can be transposed only when it has as many axes as b (${shapes})`);
  }
  const depth = dimAt(a.shape, attributes.transposeA ? -2 : -1);
  if (depth !== k) {
    throw new GraphError(`matmul: a has depth ${depth}, b has ${k} (${shapes}, ${JSON.stringify(attributes)})`);
  }
  if (bias !== undefined && !sameShape(bias.shape, [n])) {
    throw new GraphError(`matmul: bias is ${formatShape(bias.shape)}, must be [${n}] (${shapes})`);
  }
  return { a, b };
}

/** Inputs a, b, bias?; output the product. See {@link matmul}. */
export const matmulOp: OpDefinition<MatmulAttributes> = {
  name: "matmul",
  infer: ([inputA, inputB, bias], attributes) => {
    const { a, b } = check(inputA, inputB, bias, attributes);
    const { leading, m, n } = productSizes(a.shape, b.shape, attributes);
    return [{ shape: [...leading, ...(m === undefined ? [] : [m]), n], dtype: "f32" }];
  },
  flops: ([, b, bias], [out], { transposeB }) =>
    sizeOf(out?.shape ?? []) * (2 * (b?.shape.at(transposeB ? -1 : -2) ?? 1) + (bias === undefined ? 0 : 1)),
};

export interface MatmulOptions {
  /** [N], added to every row. */
  readonly bias?: Tensor | undefined;
  /** Default false. */
  readonly transposeA?: boolean;
  /** Default false. */
  readonly transposeB?: boolean;
}

/**
 * out[.., m, n] = Σ_k a[.., m, k] · b[.., k, n] + bias[n], all f32.
 *
 * a [.., M, K]; b is a weight [K, N] that every leading index of a shares (a may then be a vector [K] as well), or has
 * the leading axes of a: [.., K, N]. With transposeA the last two axes of a are [K, M] (a and b then have equally many
 * axes), with transposeB those of b are [N, K]. Throws GraphError where shapes do not fit.
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { bias, transposeA = false, transposeB = false } = options;
  return applyOne(matmulOp, [a, b, bias], { transposeA, transposeB });
}

/** The linear layer x · weightᵀ + bias: x [.., K], weight [N, K], bias [N] → [.., N]. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  return matmul(x, weight, { bias, transposeB: true });
}
