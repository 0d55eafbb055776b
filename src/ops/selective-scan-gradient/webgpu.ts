// How the WebGPU runtime computes selective_scan_gradient: one walk back over chunks of 64 tokens, each computed again from the
// state that the forward pass kept; then partial sums are added in order. Where channels are too few to fill a device and tokens
// many, two dispatches find the adjoint at the end of every chunk first, and the chunks are walked side by side.
import type { Emitter, GpuLowering } from "../../runtime/webgpu/lowering.ts";
import {
  emitChunkStates,
  emitKernel,
  emitSums,
  FEWEST_TOKENS_CHUNKED,
  fewThreads,
  reading,
  type ScanSizes,
  type Segment,
  type Sum,
  segmentsOf,
  updating,
  type View,
  viewOf,
  viewsOf,
  Workspace,
  writing,
} from "../selective-scan/gpu.ts";
import { CHUNK, type SelectiveScanAttributes } from "../selective-scan/op.ts";
import { required } from "../types.ts";

type Node = Parameters<GpuLowering<SelectiveScanAttributes>>[0];

/** Channels a workgroup, and states a dispatch. */
const COLUMNS = 32;
const STATES_EACH = 16;

export const lower: GpuLowering<SelectiveScanAttributes> = (node, emit) => {
  const [batch = 0, tokens = 0, channels = 0] = required(node.inputs[0], "u").shape;
  const states = required(node.inputs[2], "A").shape[1] ?? 0;
  if (batch * tokens * channels * states === 0) return;
  const sizes = { batch, tokens, channels, states };
  const blocks = Math.ceil(channels / COLUMNS);
  const perToken = Math.max(channels, (channels * states) / CHUNK, 2 * blocks * states);
  const segments = segmentsOf(sizes, perToken, channels * states, emit.device);
  // A row that is cut is walked from its last piece to its first, the adjoint going on from piece to piece.
  const between = segments.some(({ token }) => token > 0)
    ? viewOf(emit.scratch(4 * channels * states), 0, channels * states)
    : undefined;
  for (const [i, segment] of segments.toReversed().entries()) backward(node, sizes, segment, between, i > 0, emit);
};

function backward(
  { inputs, outputs, attributes }: Node,
  whole: ScanSizes,
  segment: Segment,
  between: View | undefined,
  add: boolean,
  emit: Emitter,
): void {
  const sizes = { ...whole, batch: segment.rows, tokens: segment.tokens };
  const { batch, tokens, channels, states } = sizes;
  const chunks = Math.ceil(tokens / CHUNK);
  const blocks = Math.ceil(channels / COLUMNS);
  const chunked = tokens >= FEWEST_TOKENS_CHUNKED && fewThreads(sizes, emit.device);
  const softplus = attributes.deltaSoftplus;
  const views = viewsOf(whole, segment);
  const [tu, tdelta, ta, tb, tc, tskip, tz, tbias, tstarts, tdy, tdhT] = inputs;
  const [tdu, tddelta, tdA, tdB, tdC, tdD, tdz, tdbias, tdh0] = outputs;
  const last = segment.token + tokens === whole.tokens;
  const sequenceAt = views.sequence(tu)?.at ?? 0;
  // More states than one dispatch takes: du, ddelta and dz hold sums over the states so far.
  const groups = Math.ceil(states / STATES_EACH);
  const sumOfSteps = (length: number): View => viewOf(emit.scratch(4 * (sequenceAt + length)), sequenceAt, length);
  const sequence = {
    ...{ u: views.sequence(tu), delta: views.sequence(tdelta), z: views.sequence(tz), dy: views.sequence(tdy) },
    ...{ du: views.sequence(tdu), dz: views.sequence(tdz) },
    ddelta: views.sequence(tddelta) ?? (groups > 1 && tdbias ? sumOfSteps(batch * tokens * channels) : undefined),
  };
  const small = {
    ...{ a: views.whole(ta), b: views.projection(tb), c: views.projection(tc) },
    ...{ skip: views.whole(tskip), bias: views.whole(tbias) },
    dfinal: last ? views.state(tdhT) : between,
  };
  const starts = views.starts(tstarts);
  const dh0 = segment.token > 0 ? between : views.state(tdh0);
  const walks = chunked ? batch * chunks : batch;
  const stateLength = batch * channels * states;

  // Room for all partial sums, and where bindings are few for all that is small, too: one scratch, one binding.
  const workspace = new Workspace();
  const room = (wanted: boolean, length: number) => (wanted ? workspace.reserve(length) : undefined);
  const rateParts = room(tdA !== undefined, walks * channels * states);
  const channelParts = room(tdD !== undefined || tdbias !== undefined, 2 * walks * channels);
  const rowLength = batch * tokens * states;
  const rowParts = room(tdB !== undefined || tdC !== undefined, 2 * blocks * rowLength);
  const carriesRoom = room(chunked, chunks * stateLength);
  const ofWork = [rateParts, channelParts, rowParts, carriesRoom].filter((r) => r !== undefined).length;
  const views0 = [...Object.values(sequence), ...Object.values(small), starts, dh0];
  const crowded = views0.filter((v) => v !== undefined).length + ofWork > emit.device.maxStorageBindings;
  const smallRooms = Object.entries({ ...small, starts }).map(
    ([name, view]) => [name, view, crowded && view ? workspace.reserve(view.length) : undefined] as const,
  );
  const dh0Room = crowded && dh0 !== undefined ? workspace.reserve(stateLength) : undefined;
  const near = Object.fromEntries(smallRooms.map(([name, view, place]) => [name, place?.(emit) ?? view]));
  const copies = smallRooms.flatMap(([name, from]): Sum[] => {
    const to = near[name];
    return crowded && from && to ? [{ from, to, length: from.length }] : [];
  });
  emitSums("selective_scan/pack", copies, emit);
  const parts = {
    rate_parts: rateParts?.(emit),
    channel_parts: channelParts?.(emit),
    row_parts: rowParts?.(emit),
    carries: carriesRoom?.(emit),
    dh0: dh0Room?.(emit) ?? dh0,
  };

  if (chunked) {
    const inputs = {
      ...{ u: sequence.u, delta: sequence.delta, z: sequence.z, dy: sequence.dy },
      ...{ a: near.a, b: near.b, c: near.c, bias: near.bias },
      ...{ initial: near.dfinal, final: parts.dh0, ends: parts.carries },
    };
    emitChunkStates({ sizes, softplus, reverse: true, sequenceAt, inputs }, emit);
  }

  for (let group = 0; group < groups; group++) {
    const mine = Math.min(STATES_EACH, states - group * STATES_EACH);
    let lanes = 1;
    while (lanes < Math.ceil(mine / 4)) lanes *= 2;
    const first = group === 0;
    const access = first ? writing : updating;
    const workgroups = walks * blocks;
    emitKernel(
      {
        kernel: "selective_scan/backward",
        states,
        constants: {
          ...{ CHANNELS: channels, SOFTPLUS: softplus, CHUNKED: chunked, LANES: lanes },
          ...{ TILE: 4, TOGETHER: emit.device.workgroupMemory >= 32768 ? 1 : 0 },
          ...{ FIRST: first, LAST: group === groups - 1 },
        },
        uniforms: {
          ...{ batches: batch, time: tokens, chunks, groups: workgroups, first_state: group * STATES_EACH },
          ...{ sequence_at: sequenceAt, rows_at: near.b?.at ?? 0, starts_at: near.starts?.at ?? 0 },
          ...{ dfinal_at: near.dfinal?.at ?? 0, dh0_at: parts.dh0?.at ?? 0 },
        },
        rows: {
          ...{ a: reading(near.a), b: reading(near.b), c: reading(near.c), starts: reading(near.starts) },
          ...{ carries: reading(parts.carries), dfinal: chunked ? undefined : reading(near.dfinal) },
          ...{ dh0: chunked ? undefined : writing(parts.dh0), rate_parts: writing(parts.rate_parts) },
        },
        others: {
          ...{
            u: reading(sequence.u),
            delta: reading(sequence.delta),
            z: reading(sequence.z),
            dy: reading(sequence.dy),
          },
          ...{ skip: reading(near.skip), bias: reading(near.bias) },
          ...{ du: access(sequence.du), ddelta: access(sequence.ddelta), dz: access(sequence.dz) },
          ...{ row_parts: writing(parts.row_parts), channel_parts: writing(parts.channel_parts) },
        },
        workgroups,
        reason: `${chunked ? "chunks side by side" : "chunk by chunk"}, four states a thread`,
      },
      emit,
    );
  }

  // Each gradient from its partial sums, in order.
  const gather = (
    from: View | undefined,
    offset: number,
    tensor: View | undefined,
    length: number,
    each: { parts: number; stride: number },
    more: boolean,
  ): Sum[] =>
    from && tensor ? [{ from: { ...from, at: from.at + offset }, to: tensor, length, ...each, add: more }] : [];
  const rows = { parts: blocks, stride: 2 * rowLength };
  const perWalk = { parts: walks, stride: 2 * channels };
  emitSums(
    "selective_scan/sum",
    [
      ...gather(parts.row_parts, 0, views.projection(tdB), rowLength, rows, false),
      ...gather(parts.row_parts, rowLength, views.projection(tdC), rowLength, rows, false),
      ...gather(
        parts.rate_parts,
        0,
        views.whole(tdA),
        channels * states,
        { parts: walks, stride: channels * states },
        add,
      ),
      ...gather(parts.channel_parts, 0, views.whole(tdD), channels, perWalk, add),
      ...gather(parts.channel_parts, channels, views.whole(tdbias), channels, perWalk, add),
      ...(dh0Room && dh0 ? gather(parts.dh0, 0, dh0, stateLength, { parts: 1, stride: 0 }, false) : []),
    ],
    emit,
  );
}
