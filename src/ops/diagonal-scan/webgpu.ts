// Dispatch of diagonal_scan (kernels/diagonal_scan): one walk through all tokens, or, where a long sequence leaves the device
// idle, runs of tokens side by side whose first states follow from what each run leaves.
import {
  type Dispatch,
  type GpuLowering,
  type GpuTensor,
  part,
  read,
  rowRuns,
  type Scratch,
  spread,
  update,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { emitModes, modeConstants, parameterBindings } from "../s4d-kernel/gpu.ts";
import { required } from "../types.ts";
import type { DiagonalScanAttributes } from "./op.ts";

const WORKGROUP = 64;
/** Modes that a thread keeps: many walk through long sequences with few sums, few discretise their modes sooner. */
const MODES_OF_A_WALK = 8;
const MODES_OF_A_STEP = 2;
/** Tokens staged at a time in a walk. */
const TOKENS = 16;
/** Tokens from which on runs may be worth their second pass, and threads that keep a device busy. */
const LONG = 256;
const ENOUGH_THREADS = 1 << 14;
/** Fewest tokens of a run. */
const SHORTEST_RUN = 64;

export const lower: GpuLowering<DiagonalScanAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const u = required(inputs[0], "u");
  const [batch = 0, tokens = 0, channels = 0] = u.shape;
  const parameters = inputs.slice(1, 5);
  const constants = modeConstants(parameters, attributes.discretization);
  if (batch * channels === 0) return;
  const y = outputs[0] ?? emit.scratch(4 * batch * tokens * channels);
  const most = tokens < TOKENS ? MODES_OF_A_STEP : MODES_OF_A_WALK;
  const teams = Math.min(WORKGROUP, 2 ** Math.ceil(Math.log2(constants.MODES / most)));
  const lanes = WORKGROUP / Math.max(1, teams);
  const layout = {
    ...constants,
    WORKGROUP,
    TEAMS: Math.max(1, teams),
    LANES: Math.min(WORKGROUP, lanes),
    EACH: Math.ceil(constants.MODES / Math.max(1, teams)),
    TOKENS: tokens < TOKENS ? 1 : TOKENS,
    CHANNEL_GROUPS: Math.ceil(channels / lanes),
  };
  const stateSize = 2 * channels * constants.MODES;
  for (const { first, rows } of rowRuns(batch, Math.max(tokens * channels, stateSize), "f32", emit.device)) {
    const cut = (tensor: GpuTensor | Scratch | undefined, size: number) =>
      tensor && part(tensor, first * size, rows * size);
    const [h0, hT] = [cut(inputs[5], stateSize), cut(outputs[1], stateSize)];
    const runs = runsOf(rows, tokens, channels, layout.TEAMS);
    const span = Math.max(1, Math.ceil(tokens / runs));
    const dispatch: Omit<Dispatch, "kernel" | "workgroups"> = {
      uniforms: { zero: 0, rows, tokens, runs, span },
      bindings: { u: read(cut(u, tokens * channels)), y: undefined, starts: undefined, ht: undefined, h0: undefined },
    };
    const walk = (options: { readonly ENDS: boolean; readonly CHUNKED: boolean }, extra: Dispatch["bindings"]) =>
      emit.dispatch({
        ...dispatch,
        kernel: "diagonal_scan/scan",
        constants: { ...layout, ...options },
        bindings: { ...dispatch.bindings, ...extra },
        workgroups: spread(rows * runs * layout.CHANNEL_GROUPS),
        reason: `${runs} run${runs > 1 ? "s" : ""} of ${span} token${span > 1 ? "s" : ""}, ${layout.EACH} modes a thread`,
      });
    const result = write(cut(y, tokens * channels));
    const states = { y: result, h0: read(h0), ht: write(hT) };
    if (tokens < TOKENS) {
      walk({ ENDS: false, CHUNKED: false }, { ...parameterBindings(parameters), modes: undefined, ...states });
      continue;
    }
    const modes = read(emitModes(parameters, attributes.discretization, emit), 4);
    if (runs === 1) {
      walk({ ENDS: false, CHUNKED: false }, { modes, ...states });
      continue;
    }
    const starts = emit.scratch(4 * rows * runs * stateSize);
    walk({ ENDS: true, CHUNKED: true }, { modes, starts: write(starts) });
    emit.dispatch({
      kernel: "diagonal_scan/carry",
      constants,
      uniforms: dispatch.uniforms ?? {},
      bindings: { modes, h0: read(h0), ht: write(hT), starts: update(starts) },
      workgroups: spread(Math.ceil((rows * stateSize) / 2 / 64)),
      reason: `states at the start of ${runs} runs`,
    });
    walk({ ENDS: false, CHUNKED: true }, { modes, y: result, starts: read(starts) });
  }
};

/** How many runs a sequence is cut into. */
function runsOf(rows: number, tokens: number, channels: number, teams: number): number {
  if (tokens < LONG) return 1;
  const wanted = Math.floor(ENOUGH_THREADS / (rows * channels * teams));
  return Math.max(1, Math.min(wanted, Math.floor(tokens / SHORTEST_RUN)));
}
