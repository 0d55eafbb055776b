// Dispatch of gru_gradient (kernels/gru): few rows per workgroup back through all of time, or a dispatch per token.
import { type GpuLowering, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { batchParts, chooseWalk, rowsOfStep, walkOf } from "../gru/gpu.ts";
import type { GruAttributes } from "../gru/op.ts";
import { required } from "../types.ts";

export const lower: GpuLowering<GruAttributes> = ({ inputs, outputs }, emit) => {
  const weight = required(inputs[0], "w_hh");
  const y = required(inputs[1], "y");
  const gates = required(inputs[2], "gates");
  const [, , , h0, dy, dhT] = inputs;
  const [dx, dGates, dh0, previous] = outputs;
  const [batch = 0, tokens = 0, hidden = 0] = y.shape;
  if (batch * tokens * hidden === 0) return;
  for (const { rows, cut } of batchParts(batch, 4 * tokens * hidden, emit.device)) {
    const sequence = tokens * hidden;
    const bindings = {
      weight: read(weight),
      y: read(cut(y, sequence)),
      gates: read(cut(gates, 4 * sequence)),
      h0: read(cut(h0, hidden)),
      dy: read(cut(dy, sequence)),
      dx: write(cut(dx, 3 * sequence)),
      dgates: write(cut(dGates, 3 * sequence)),
      previous: write(cut(previous, sequence)),
    };
    const [last, first] = [read(cut(dhT, hidden)), write(cut(dh0, hidden))];
    const walk = chooseWalk(walkOf(rows, hidden, 3 * hidden, 4, 1), { batch: rows, tokens, hidden }, emit);
    if (walk !== undefined) {
      emit.dispatch({
        kernel: "gru/gradient_sequence",
        constants: walk.constants,
        uniforms: { rows, tokens },
        bindings: { ...bindings, dht: last, dh0: first },
        workgroups: spread(Math.ceil(rows / walk.rows)),
        reason: `${walk.rows} row${walk.rows > 1 ? "s" : ""} a workgroup, back through all tokens`,
      });
      continue;
    }
    const together = rowsOfStep(rows, 2);
    const groups = Math.ceil(hidden / 32);
    // The gradient of h, from token to token by turns in two places.
    const states = [emit.scratch(4 * rows * hidden), emit.scratch(4 * rows * hidden)];
    for (let token = tokens - 1; token >= 0; token--) {
      emit.dispatch({
        kernel: "gru/gradient_step",
        constants: { HIDDEN: hidden, ROWS: together, UNIT_GROUPS: groups },
        uniforms: { rows, tokens, token },
        bindings: {
          ...bindings,
          after: token === tokens - 1 ? last : read(states[(token + 1) % 2]),
          before: token === 0 ? first : write(states[token % 2]),
        },
        workgroups: spread(groups * Math.ceil(rows / together)),
        reason: `a dispatch per token, ${together} row${together > 1 ? "s" : ""} a workgroup`,
      });
    }
  }
};
