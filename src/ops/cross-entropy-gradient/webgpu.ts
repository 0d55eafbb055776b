// Dispatch of cross_entropy_gradient (kernels/cross_entropy).
import { type GpuLowering, read, rowRuns, spread, write } from "../../runtime/webgpu/lowering.ts";
import { rowsOf } from "../../runtime/webgpu/teams.ts";
import { inUnits, unitOf } from "../../runtime/webgpu/units.ts";
import type { CrossEntropyAttributes } from "../cross-entropy/op.ts";
import { ignored } from "../cross-entropy/webgpu.ts";
import { required } from "../types.ts";

const WORKGROUP = 256;

export const lower: GpuLowering<CrossEntropyAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [logits, targets, lse, count, dloss, dlse] = inputs;
  const { shape } = required(logits, "logits");
  const classes = shape.at(-1) ?? 1;
  const rows = shape.slice(0, -1).reduce((n, d) => n * d, 1);
  if (rows === 0) return;
  const vector = unitOf(classes);
  for (const run of rowRuns(rows, classes, "f32", emit.device)) {
    const units = (run.rows * classes) / vector;
    const dispatch = {
      kernel: "cross_entropy/gradient",
      constants: { CLASSES: classes, IGNORE: ignored(attributes), WORKGROUP },
      uniforms: { units, first_row: run.first, zero: 0 },
      bindings: {
        ...{ logits: read(rowsOf(logits, run, classes)), targets: read(targets), lse: read(lse) },
        // The number of rows matters only to the loss.
        ...{ count: dloss && read(count), dloss: read(dloss), dlse: read(dlse) },
        dlogits: write(rowsOf(outputs[0], run, classes)),
      },
      workgroups: spread(Math.ceil(units / WORKGROUP)),
      reason: vector === 4 ? "four elements a thread" : "an element a thread",
    };
    emit.dispatch(inUnits(dispatch, vector, ["logits", "dlogits"]));
  }
};
