// Reference for reshape: the same data (the shape's symbols are bound before this runs).
import { type Reference, required } from "../types.ts";
import type { ReshapeAttributes } from "./op.ts";

export const reference: Reference<ReshapeAttributes> = (inputs, { shape }) => {
  const x = required(inputs[0], "reshape input");
  return [{ shape: shape as number[], dtype: x.dtype, data: x.data }];
};
