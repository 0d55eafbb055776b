// Dispatch of gru (kernels/gru): few rows per workgroup through all of time, or a dispatch per token.
import { type GpuLowering, read, spread, update, write } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import { batchParts, chooseWalk, rowsOfStep, walkOf } from "./gpu.ts";
import type { GruAttributes } from "./op.ts";

export const lower: GpuLowering<GruAttributes> = ({ inputs, outputs }, emit) => {
  const [, , bias, h0] = inputs;
  const x = required(inputs[0], "x_gates");
  const weight = required(inputs[1], "w_hh");
  const [, hT, gates] = outputs;
  const [batch = 0, tokens = 0] = x.shape;
  const hidden = weight.shape[1] ?? 0;
  if (batch * tokens * hidden === 0) return;
  // Tokens are handed on through y, whether or not anything else reads it.
  const y = outputs[0] ?? emit.scratch(4 * batch * tokens * hidden);
  for (const { rows, cut } of batchParts(batch, 4 * tokens * hidden, emit.device)) {
    const sequence = tokens * hidden;
    const bindings = {
      x: read(cut(x, 3 * sequence)),
      bias: read(bias),
      h0: read(cut(h0, hidden)),
      ht: write(cut(hT, hidden)),
      gates: write(cut(gates, 4 * sequence)),
    };
    // h of two tokens; a vec3 takes the place of four floats.
    const walk = chooseWalk(walkOf(rows, hidden, hidden, 2, 4), { batch: rows, tokens, hidden }, emit);
    if (walk !== undefined) {
      const transposed = emit.scratch(12 * hidden * hidden);
      emit.dispatch({
        kernel: "gru/transpose",
        constants: { HIDDEN: hidden },
        bindings: { weight: read(weight), transposed: write(transposed) },
        workgroups: [Math.ceil(hidden / 16), Math.ceil((3 * hidden) / 16)],
      });
      emit.dispatch({
        kernel: "gru/sequence",
        constants: walk.constants,
        uniforms: { rows, tokens },
        bindings: { ...bindings, transposed: read(transposed), y: write(cut(y, sequence)) },
        workgroups: spread(Math.ceil(rows / walk.rows)),
        reason: `${walk.rows} row${walk.rows > 1 ? "s" : ""} a workgroup, through all tokens`,
      });
      continue;
    }
    const together = rowsOfStep(rows, 4);
    const groups = Math.ceil(hidden / 8);
    // Where hT lies over h0, a step that reads h0 must not write it: workgroups of other units may not have read it yet.
    const copyLast = tokens === 1 && h0 !== undefined && hT !== undefined && emit.inPlace(3, 1);
    for (let token = 0; token < tokens; token++) {
      emit.dispatch({
        kernel: "gru/step",
        constants: { HIDDEN: hidden, ROWS: together, UNIT_GROUPS: groups, FIRST: token === 0 },
        uniforms: { rows, tokens, token },
        bindings: {
          ...bindings,
          weight: read(weight),
          h0: token === 0 ? bindings.h0 : undefined,
          ht: token === tokens - 1 && !copyLast ? bindings.ht : undefined,
          y: token === 0 ? write(cut(y, sequence)) : update(cut(y, sequence)),
        },
        workgroups: spread(groups * Math.ceil(rows / together)),
        reason: `a dispatch per token, ${together} row${together > 1 ? "s" : ""} a workgroup`,
      });
    }
    if (copyLast) {
      emit.dispatch({
        kernel: "gru/final_state",
        constants: { HIDDEN: hidden },
        uniforms: { rows, tokens },
        bindings: { y: read(cut(y, sequence)), ht: bindings.ht },
        workgroups: spread(Math.ceil((rows * hidden) / 64)),
        reason: "hT lies over h0",
      });
    }
  }
};
