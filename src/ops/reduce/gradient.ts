// Gradient of reduce: the upstream gradient stretched back over the reduced axes (times 2x, 1/count, or the arg-max mask).
import * as ex from "../../graph/expression.ts";
import { GraphError } from "../../graph/shape.ts";
import { map } from "../map/op.ts";
import { reshape } from "../reshape/op.ts";
import { type GradientRule, required } from "../types.ts";
import type { ReduceAttributes } from "./op.ts";

export const gradient: GradientRule<ReduceAttributes> = ({ inputs, outputs, attributes, gradients }) => {
  const { fn, axes } = attributes;
  const x = required(inputs[0], "reduce input");
  const kept = x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  const dy = reshape(required(gradients[0], "gradient of reduce"), kept);
  const [xe, de] = [ex.input(0), ex.input(1)];
  // x enters with weight zero so that the result has x's shape.
  const stretched = ex.call("where", ex.call("greater", xe, xe), xe, de);
  switch (fn) {
    case "sum":
      return [map([x, dy], stretched)];
    case "sum_squares":
      return [map([x, dy], ex.mul(ex.literal(2), ex.mul(xe, de)))];
    case "max": {
      const y = reshape(required(outputs[0], "reduce output"), kept);
      return [map([x, dy, y], ex.call("where", ex.call("greater", ex.input(2), xe), ex.literal(0), de))];
    }
    case "mean": {
      const count = axes.reduce((product, axis) => {
        const dim = x.shape[axis];
        if (typeof dim !== "number")
          throw new GraphError(`reduce: the gradient of mean over the symbolic axis ${dim} is not defined; use sum`);
        return product * dim;
      }, 1);
      return [map([x, dy], ex.mul(ex.literal(1 / count), stretched))];
    }
  }
};
