// How the WebGPU runtime computes selective_scan: one token after the other with the state in registers; where channels are too
// few to fill a device and tokens many, chunks side by side after a pass that finds the state at the start of each.
import type { Emitter, GpuLowering } from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import {
  emitChunkStates,
  emitKernel,
  FEWEST_TOKENS_CHUNKED,
  fewThreads,
  groupsOf,
  layoutConstants,
  layoutOf,
  packed,
  reading,
  type ScanSizes,
  segmentsOf,
  tileOf,
  type View,
  viewOf,
  viewsOf,
  writing,
} from "./gpu.ts";
import { CHUNK, type SelectiveScanAttributes } from "./op.ts";

type Node = Parameters<GpuLowering<SelectiveScanAttributes>>[0];

export const lower: GpuLowering<SelectiveScanAttributes> = (node, emit) => {
  const { inputs, outputs } = node;
  const [batch = 0, tokens = 0, channels = 0] = required(inputs[0], "u").shape;
  const states = required(inputs[2], "A").shape[1] ?? 0;
  if (batch * channels === 0) return;
  const sizes = { batch, tokens, channels, states };
  const [y, final, starts] = outputs;
  const kept = starts === undefined ? 0 : (channels * states) / CHUNK;
  const segments = segmentsOf(sizes, Math.max(channels, kept, 2 * states), channels * states, emit.device);
  const inPlace = inPlaceOf(node, emit);
  // A row that is cut goes on from where its last piece ended.
  const ended =
    final === undefined && segments.some(({ token }) => token > 0)
      ? viewOf(emit.scratch(4 * channels * states), 0, channels * states)
      : undefined;
  for (const segment of segments) {
    const views = viewsOf(sizes, segment);
    const [u, delta, a, b, c, skip, z, bias, h0] = inputs;
    const end = views.state(final) ?? ended;
    scan(
      { ...sizes, batch: segment.rows, tokens: segment.tokens },
      {
        ...{ u: views.sequence(u), delta: views.sequence(delta), z: views.sequence(z), y: views.sequence(y) },
        ...{ a: views.whole(a), skip: views.whole(skip), bias: views.whole(bias) },
        ...{ b: views.projection(b), c: views.projection(c) },
        ...{ h0: segment.token > 0 ? end : views.state(h0), final: end, starts: views.starts(starts) },
      },
      node.attributes.deltaSoftplus,
      segment.token > 0 ? { ...inPlace, state: true } : inPlace,
      emit,
    );
  }
};

/** What is updated where it is: y over u, delta or z; the state. */
interface InPlace {
  readonly sequence: boolean;
  readonly state: boolean;
}

function inPlaceOf({ inputs, outputs }: Node, emit: Emitter): InPlace {
  const same = (i: number, o: number): boolean =>
    inputs[i] !== undefined && outputs[o] !== undefined && emit.inPlace(i, o);
  return { sequence: same(0, 0) || same(1, 0) || same(6, 0), state: same(8, 1) };
}

type Views = Readonly<
  Record<"u" | "delta" | "a" | "b" | "c" | "skip" | "z" | "bias" | "h0" | "y" | "final" | "starts", View | undefined>
>;

function scan(sizes: ScanSizes, given: Views, softplus: boolean, inPlace: InPlace, emit: Emitter): void {
  const { batch, tokens, channels, states } = sizes;
  const chunks = Math.ceil(tokens / CHUNK);
  const chunked = tokens >= FEWEST_TOKENS_CHUNKED && fewThreads(sizes, emit.device);
  const { a, b, c, skip, bias, h0, ...others } = given;
  const small = { a, b, c, skip, bias, h0: chunked || inPlace.state ? undefined : h0 };
  const { final, ...alsoChunked } = others;
  const bound = [...Object.values(small), ...Object.values(chunked ? alsoChunked : others)];
  const variables = bound.filter((view) => view !== undefined).length - (inPlace.sequence ? 1 : 0);
  const together = variables > emit.device.maxStorageBindings ? packed(small, emit) : small;
  const views: Views = { ...given, ...together, h0: together.h0 ?? h0 };
  const layout = layoutOf(sizes);
  const sequenceAt = views.u?.at ?? 0;
  let { starts } = views;
  if (chunked) {
    const length = batch * chunks * channels * states;
    starts ??= viewOf(emit.scratch(4 * length), 0, length);
    const inputs = { ...views, dy: undefined, initial: views.h0, ends: starts };
    emitChunkStates({ sizes, softplus, reverse: false, sequenceAt, inputs }, emit);
  }
  const { lanes, vectors, columns } = layout;
  const tile = tileOf(tokens, 32 * lanes * vectors, lanes > 1 ? 4 * columns * (2 + lanes) : 0);
  const workgroups = groupsOf(chunked ? batch * chunks : batch, sizes, layout);
  const walk = chunked ? `chunks of ${CHUNK} tokens side by side` : tokens === 1 ? "one token" : "token by token";
  emitKernel(
    {
      kernel: "selective_scan/forward",
      states,
      constants: {
        ...{ CHANNELS: channels, SOFTPLUS: softplus, CHUNKED: chunked, ...layoutConstants(layout) },
        ...{ ...tile, UNROLL: Math.min(4, tile.TOKENS) },
      },
      uniforms: {
        ...{ time: tokens, chunks, groups: workgroups, sequence_at: sequenceAt, rows_at: views.b?.at ?? 0 },
        ...{ state_at: views.h0?.at ?? 0, final_at: views.final?.at ?? 0, starts_at: starts?.at ?? 0 },
      },
      rows: {
        ...{ a: reading(views.a), b: reading(views.b), c: reading(views.c) },
        h0: chunked ? undefined : reading(views.h0),
        final: chunked ? undefined : writing(views.final),
        starts: chunked ? reading(starts) : chunks === 0 ? undefined : writing(starts),
      },
      others: {
        ...{ u: reading(views.u), delta: reading(views.delta), z: reading(views.z) },
        ...{ skip: reading(views.skip), bias: reading(views.bias), y: writing(views.y) },
      },
      workgroups,
      reason: lanes > 1 ? `${walk}, ${lanes} threads a channel` : `${walk}, a thread a channel`,
    },
    emit,
  );
}
