// Dispatch of attention (kernels/attention): tiles of rows for prompts, parts of the keys for few rows over long caches.
import { sizeOf } from "../../graph/shape.ts";
import { RuntimeError } from "../../runtime/types.ts";
import {
  type Binding,
  type Bound,
  type Dispatch,
  type Emitter,
  type GpuLowering,
  type GpuTensor,
  isCpu,
  PART_ALIGNMENT,
  part,
  read,
  rowRuns,
  type Scratch,
  spread,
  write,
} from "../../runtime/webgpu/lowering.ts";
import { required } from "../types.ts";
import { lanesFor, rowAccess, scoreConstants, widthOf } from "./rows.ts";
import { type AttentionAttributes, type AttentionSizes, attentionSizes } from "./sizes.ts";

/** Rows (queries times query heads of a key head) up to which the keys are divided among the threads, not the rows. */
const FEW_ROWS = 16;
/** Least keys of a part, and workgroups beyond which no more parts are made. */
const PART_KEYS = 256;
const ENOUGH_WORKGROUPS = 256;
const DECODE_WORKGROUP = 128;
/** Vectors of a row's queries and outputs up to which kernels for CPUs, in which all is unrolled, compile in a second. */
const MOST_UNROLLED_VECTORS = 32;

/** How the work of one forward pass is divided. */
export interface AttentionPlan {
  readonly kernel: "attention/forward" | "attention/forward_subgroup" | "attention/decode";
  /** Rows of a workgroup and keys of a tile. */
  readonly rows: number;
  readonly keys: number;
  /** Threads that share a row. */
  readonly lanes: number;
  readonly rowTiles: number;
  /** Parts of the keys, joined by a second kernel when there are several. */
  readonly splits: number;
}

export function planAttention(
  sizes: AttentionSizes<number>,
  capacity: number,
  window: number,
  device: Emitter["device"],
): AttentionPlan {
  const { batch, queryTokens, keyTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const rows = queryTokens * (queryHeads / keyHeads);
  const reach = Math.min(capacity + keyTokens, window > 0 ? window + queryTokens - 1 : Number.POSITIVE_INFINITY);
  const [keyVectors, valueVectors] = [Math.ceil(keyDim / 4), Math.ceil(valueDim / 4)];
  const splitsFor = (workgroups: number): number =>
    Math.max(1, Math.min(Math.ceil(reach / PART_KEYS), Math.floor(ENOUGH_WORKGROUPS / workgroups)));
  if (rows <= FEW_ROWS && valueVectors <= DECODE_WORKGROUP && keyVectors <= 64) {
    const tile = [1, 2, 4].find((count) => rows <= count) ?? 8;
    const rowTiles = Math.ceil(rows / tile);
    const keys = tile > 4 ? 32 : 64;
    const splits = splitsFor(batch * keyHeads * rowTiles);
    return { kernel: "attention/decode", rows: tile, keys, lanes: 4, rowTiles, splits };
  }
  const vectors = keyVectors + valueVectors;
  if (isCpu(device) && vectors <= MOST_UNROLLED_VECTORS) {
    const each = [4, 2].find((count) => 64 * count <= rows) ?? 1;
    const subgroup = device.subgroupMaxSize;
    const fitting = Math.min(device.workgroupMemory - 64, 12288) / (16 * subgroup * vectors);
    const keys = subgroup * ([4, 2].find((count) => count <= fitting) ?? 1);
    const rowTiles = Math.ceil(rows / (64 * each));
    // Few cores need few workgroups.
    const splits = batch * keyHeads * rowTiles < 8 ? splitsFor(batch * keyHeads * rowTiles) : 1;
    return { kernel: "attention/forward_subgroup", rows: 64 * each, keys, lanes: 1, rowTiles, splits };
  }
  const lanes = lanesFor(Math.max(keyVectors, valueVectors), 16);
  const tileRows = 64 / lanes;
  // Keys and values of a tile, and with several lanes scores to be added up.
  const keyBytes =
    16 * lanes * (Math.ceil(keyVectors / lanes) + Math.ceil(valueVectors / lanes)) + (lanes > 1 ? 256 : 0);
  const fitting = [8, 4].find((keys) => keys * keyBytes <= Math.min(device.workgroupMemory - 64, 12288));
  const keys = fitting ?? (4 * keyBytes <= device.workgroupMemory - 64 ? 4 : 0);
  if (keys === 0 || lanes > 64) {
    throw new RuntimeError(
      `attention: heads of ${keyDim} and ${valueDim} channels are too wide for a tile in ${device.workgroupMemory} bytes of workgroup memory`,
    );
  }
  const rowTiles = Math.ceil(rows / tileRows);
  const splits = splitsFor(batch * keyHeads * rowTiles);
  return { kernel: "attention/forward", rows: tileRows, keys, lanes, rowTiles, splits };
}

export const lower: GpuLowering<AttentionAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const k = required(inputs[1], "attention k");
  const v = required(inputs[2], "attention v");
  const [q, , , pastKey, pastValue, position, sink] = inputs;
  const [y, lse, presentKey, presentValue] = outputs;
  const sizes = attentionSizes("attention", q, k, v);
  const { batch, queryTokens, keyTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const capacity = pastKey?.shape[1] ?? 0;
  const allRows = batch * queryTokens * queryHeads;
  const [keyWidth, valueWidth] = [widthOf(keyDim), widthOf(valueDim)];
  const valueVectors = Math.ceil(valueDim / 4);
  const hasCache = pastKey !== undefined && sizeOf(pastKey.shape) > 0;
  const slices = hasCache ? cacheSlices(sizes, capacity, emit) : undefined;
  const append =
    hasCache && (presentKey ?? presentValue) && keyTokens > 0 ? appendDispatch(sizes, node(), emit) : undefined;
  const emitAppend = (): void => {
    if (append === undefined) return;
    for (const slice of slices ?? [undefined]) emit.dispatch(sliceAppend(append, slice));
  };

  function node() {
    return { k, v, pastKey, pastValue, position, presentKey, presentValue };
  }

  if ((y !== undefined || lse !== undefined) && allRows > 0) {
    const plan = planAttention(sizes, capacity, attributes.window, emit.device);
    const { kernel, lanes } = plan;
    // In slices of the caches each has two parts, and the new keys are one more.
    const perRow = slices?.filter(({ batchRow }) => batchRow === 0) ?? [];
    const splits = slices === undefined ? plan.splits : 2 * perRow.length + 1;
    const partial = splits > 1;
    const sharedKeys = lanes * Math.ceil(Math.ceil(keyDim / 4) / lanes);
    const sharedValues = lanes * Math.ceil(valueVectors / lanes);
    const isDecode = kernel === "attention/decode";
    const { subgroupMaxSize } = emit.device;
    const [QV, VV] = isDecode ? [Math.ceil(keyDim / 4), valueVectors] : [sharedKeys, sharedValues];
    const sums: Scratch | undefined = partial ? emit.scratch(8 * splits * allRows) : undefined;
    const partialOutputs = partial ? emit.scratch(16 * splits * allRows * valueVectors) : undefined;
    const source = (withCache: boolean): string =>
      [
        rowAccess({ channels: keyDim, vectors: QV, read: ["q", "k", ...(withCache ? ["past_k"] : [])], written: [] }),
        rowAccess({
          channels: valueDim,
          vectors: VV,
          read: ["v", ...(withCache ? ["past_v"] : [])],
          written: partial ? [] : ["y"],
        }),
        `#include "${kernel}.wgsl"\n`,
      ].join("\n");
    const constants = {
      ...scoreConstants(attributes),
      KEYS: plan.keys,
      QV,
      VV,
      V_VECTORS: valueVectors,
      KEY_HEADS: keyHeads,
      QUERY_HEADS: queryHeads,
      GROUP: queryHeads / keyHeads,
      PARTIAL: partial,
      ...(isDecode
        ? { ROWS: plan.rows, WORKGROUP: DECODE_WORKGROUP }
        : kernel === "attention/forward_subgroup"
          ? { EACH: plan.rows / 64, SUBGROUP: subgroupMaxSize, QUADS: subgroupMaxSize / 4 }
          : { LANES: lanes, Q4: QV / lanes, V4: VV / lanes, QUADS: plan.keys / 4 }),
    };
    const how = isDecode
      ? `${queryTokens * (queryHeads / keyHeads)} rows, 4 threads a key`
      : kernel === "attention/forward_subgroup"
        ? `${plan.rows} rows over tiles of ${plan.keys} keys, broadcast in subgroups of ${subgroupMaxSize}`
        : `${plan.rows} rows of ${lanes} thread${lanes > 1 ? "s" : ""} over tiles of ${plan.keys} keys`;
    /** Keys of the caches, all or one slice of them, and of the call; the parts into which they are divided. */
    const attend = (run: QueryRun, parts: { first: number; count: number }, slice?: CacheSlice, withCache = hasCache) =>
      emit.dispatch({
        kernel,
        source: source(withCache),
        constants: { ...constants, SLICED: slice !== undefined },
        uniforms: {
          items: run.batches * keyHeads * run.tiles * parts.count,
          batches: run.batches,
          first_batch: run.firstBatch,
          first_query: run.firstQuery,
          queries: run.queries,
          origin: run.origin,
          tiles: run.tiles,
          query_tokens: queryTokens,
          key_tokens: keyTokens,
          capacity: withCache ? capacity : 0,
          splits: parts.count,
          first_split: parts.first,
          first_slot: slice?.firstSlot ?? 0,
          end_slot: slice?.endSlot ?? 0,
          all_rows: allRows,
          zero: 0,
        },
        bindings: {
          q: run.bind(q, keyDim, (bound) => read(bound, keyWidth)),
          k: read(k, keyWidth),
          v: read(v, valueWidth),
          past_k: withCache ? read(sliceOf(pastKey, slice), keyWidth) : undefined,
          past_v: withCache ? read(sliceOf(pastValue, slice), valueWidth) : undefined,
          position: hasCache ? read(position) : undefined,
          sink: read(sink),
          y: partial ? undefined : run.bind(y, valueDim, (bound) => write(bound, valueWidth)),
          lse: partial ? undefined : write(lse),
          outputs: write(partialOutputs, 4),
          sums: write(sums),
        },
        workgroups: spread(run.batches * keyHeads * run.tiles * parts.count),
        reason: partial ? `${how}, keys in ${splits} parts` : how,
      });
    for (const run of queryRuns(sizes, { ...plan, splits }, emit)) {
      attend(run, { first: 0, count: slices === undefined ? splits : 1 }, undefined, hasCache && slices === undefined);
      for (const slice of slices ?? [])
        attend({ ...run, firstBatch: slice.batchRow, batches: 1 }, { first: 1 + 2 * slice.index, count: 2 }, slice);
    }
    if (partial) {
      const joins = slices === undefined ? append : undefined;
      const reduced = allRows * valueVectors;
      emit.dispatch({
        kernel: "attention/reduce",
        source: `${rowAccess({ channels: valueDim, vectors: valueVectors, read: [], written: ["y"] })}\n#include "attention/reduce.wgsl"\n`,
        constants: { V_VECTORS: valueVectors, APPEND: joins !== undefined, SLICED: false, ...joins?.constants },
        uniforms: { all_rows: allRows, splits, zero: 0, ...joins?.uniforms },
        bindings: {
          outputs: read(partialOutputs, 4),
          sums: read(sums),
          y: write(y, valueWidth),
          lse: write(lse),
          ...joins?.bindings,
        },
        workgroups: spread(Math.ceil((reduced + (joins?.items ?? 0)) / 64)),
        reason: joins ? "joins the parts, and appends to the caches" : "joins the parts",
      });
      if (joins !== undefined) return;
    }
  }
  emitAppend();
};

/** Slots firstSlot … endSlot - 1 of one batch row of the caches, as large as a binding may be. */
interface CacheSlice {
  /** Number of the slice within its row. */
  readonly index: number;
  readonly batchRow: number;
  readonly firstSlot: number;
  readonly endSlot: number;
}

/** Undefined where bindings can hold the caches. */
function cacheSlices(
  { batch, keyHeads, keyDim, valueDim }: AttentionSizes<number>,
  capacity: number,
  { device: { maxBinding } }: Emitter,
): CacheSlice[] | undefined {
  const widths = [keyHeads * keyDim, keyHeads * valueDim];
  const widest = 4 * Math.max(...widths);
  if (batch * capacity * widest <= maxBinding) return undefined;
  let step = 1;
  while (widths.some((width) => (step * width) % PART_ALIGNMENT !== 0)) step *= 2;
  if (batch > 1 && widths.some((width) => (capacity * width) % PART_ALIGNMENT !== 0)) {
    throw new RuntimeError(
      `attention: caches of ${batch} × ${capacity} tokens are larger than a binding may be here (${maxBinding} bytes), ` +
        `and rows of ${capacity} tokens can't be bound alone; allowed: a context of a multiple of ${step} tokens`,
    );
  }
  const slots = Math.max(step, step * Math.floor(maxBinding / widest / step));
  const count = Math.ceil(capacity / slots);
  return Array.from({ length: batch * count }, (_, i) => {
    const index = i % count;
    const firstSlot = index * slots;
    return { index, batchRow: Math.floor(i / count), firstSlot, endSlot: Math.min(capacity, firstSlot + slots) };
  });
}

function sliceOf(cache: GpuTensor | undefined, slice: CacheSlice | undefined): Bound | undefined {
  if (cache === undefined || slice === undefined) return cache;
  const [, capacity = 0, ...rest] = cache.shape;
  const width = sizeOf(rest);
  return part(cache, (slice.batchRow * capacity + slice.firstSlot) * width, (slice.endSlot - slice.firstSlot) * width);
}

/** The dispatch that appends, to all of the caches or to one slice. */
function sliceAppend(append: Append, slice: CacheSlice | undefined): Dispatch {
  const { constants, uniforms, bindings, items, batches } = append;
  const inPlace = constants.IN_PLACE === true;
  const reason = inPlace ? "new rows only" : "a copy: the caches are still needed";
  const common = { kernel: "attention/append", constants: { ...constants, SLICED: slice !== undefined }, reason };
  if (slice === undefined) return { ...common, uniforms, bindings, workgroups: spread(Math.ceil(items / 64)) };
  const caches = ["past_k", "past_v", "present_k", "present_v"].map((name) => {
    const binding = bindings[name];
    const tensor = binding?.tensor.kind === "tensor" ? sliceOf(binding.tensor, slice) : undefined;
    return [name, binding && tensor && { ...binding, tensor }] as const;
  });
  const { batchRow, firstSlot, endSlot } = slice;
  return {
    ...common,
    uniforms: { ...uniforms, batch_row: batchRow, first_slot: firstSlot, end_slot: endSlot },
    bindings: { ...bindings, ...Object.fromEntries(caches) },
    workgroups: spread(Math.ceil(items / batches / 64)),
    reason: `${reason}, in slices`,
  };
}

interface QueryRun {
  readonly firstBatch: number;
  readonly batches: number;
  readonly firstQuery: number;
  readonly queries: number;
  readonly tiles: number;
  /** Tokens before the start of the bindings of q and y. */
  readonly origin: number;
  bind(
    tensor: GpuTensor | undefined,
    channels: number,
    access: (bound: GpuTensor | ReturnType<typeof part>) => Binding | undefined,
  ): Binding | undefined;
}

/** The queries of one dispatch: all of them, unless q or y are larger than a binding may be. */
function queryRuns(sizes: AttentionSizes<number>, plan: AttentionPlan, { device }: Emitter): QueryRun[] {
  const { batch, queryTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const width = queryHeads * Math.max(keyDim, valueDim);
  const runs = rowRuns(batch * queryTokens, width, "f32", device);
  const tilesOf = (queries: number): number => Math.ceil((queries * (queryHeads / keyHeads)) / plan.rows);
  if (runs.length === 1 || plan.splits > 1) {
    const bind: QueryRun["bind"] = (tensor, _, access) => tensor && access(tensor);
    const tiles = tilesOf(queryTokens);
    return [{ firstBatch: 0, batches: batch, firstQuery: 0, queries: queryTokens, tiles, origin: 0, bind }];
  }
  return runs.flatMap(({ first, rows }) => {
    const bind: QueryRun["bind"] = (tensor, channels, access) =>
      tensor && access(part(tensor, first * queryHeads * channels, rows * queryHeads * channels));
    const found: QueryRun[] = [];
    for (let b = Math.floor(first / queryTokens); b * queryTokens < first + rows; b++) {
      const firstQuery = Math.max(0, first - b * queryTokens);
      const queries = Math.min(queryTokens, first + rows - b * queryTokens) - firstQuery;
      found.push({ firstBatch: b, batches: 1, firstQuery, queries, tiles: tilesOf(queries), origin: first, bind });
    }
    return found;
  });
}

interface Append {
  readonly constants: NonNullable<Dispatch["constants"]>;
  readonly uniforms: NonNullable<Dispatch["uniforms"]>;
  readonly bindings: Dispatch["bindings"];
  /** Threads. */
  readonly items: number;
  readonly batches: number;
}

/** What writes the new rows into the caches: a dispatch of its own, or part of the one that joins partial sums. */
function appendDispatch(
  { batch, keyTokens, keyHeads, keyDim, valueDim }: AttentionSizes<number>,
  tensors: Readonly<
    Record<"k" | "v", GpuTensor> &
      Record<"pastKey" | "pastValue" | "position" | "presentKey" | "presentValue", GpuTensor | undefined>
  >,
  emit: Emitter,
): Append {
  const { k, v, pastKey, pastValue, position, presentKey, presentValue } = tensors;
  const capacity = pastKey?.shape[1] ?? 0;
  const isOver = (input: number, output: number, present: GpuTensor | undefined): boolean =>
    present === undefined || emit.inPlace(input, output);
  const inPlace = isOver(3, 2, presentKey) && isOver(4, 3, presentValue);
  const [keyChannels, valueChannels] = [keyHeads * keyDim, keyHeads * valueDim];
  const width = keyChannels % 4 === 0 && valueChannels % 4 === 0 ? 4 : 1;
  const keyItems = keyChannels / width;
  const valueItems = valueChannels / width;
  const appended = Math.min(keyTokens, capacity);
  return {
    constants: { IN_PLACE: inPlace, WIDTH: width, KEY_ITEMS: keyItems, VALUE_ITEMS: valueItems },
    uniforms: { capacity, appended, key_tokens: keyTokens, cache_batches: batch },
    bindings: {
      k: presentKey && read(k, width),
      v: presentValue && read(v, width),
      past_k: inPlace ? undefined : presentKey && read(pastKey, width),
      past_v: inPlace ? undefined : presentValue && read(pastValue, width),
      present_k: write(presentKey, width),
      present_v: write(presentValue, width),
      position: read(position),
    },
    items: batch * (inPlace ? appended : capacity) * (keyItems + valueItems),
    batches: batch,
  };
}
