// Dispatch of attention (kernels/attention): tiles of rows for prompts, parts of the keys for few rows over long caches.
import { sizeOf } from "../../graph/shape.ts";
import { RuntimeError } from "../../runtime/types.ts";
import {
  type Binding,
  type Dispatch,
  type Emitter,
  type GpuLowering,
  type GpuTensor,
  isCpu,
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
  const append =
    hasCache && (presentKey ?? presentValue) && keyTokens > 0 ? appendDispatch(sizes, node(), emit) : undefined;

  function node() {
    return { k, v, pastKey, pastValue, position, presentKey, presentValue };
  }

  if ((y !== undefined || lse !== undefined) && allRows > 0) {
    const plan = planAttention(sizes, capacity, attributes.window, emit.device);
    const { kernel, lanes, splits } = plan;
    const partial = splits > 1;
    const sharedKeys = lanes * Math.ceil(Math.ceil(keyDim / 4) / lanes);
    const sharedValues = lanes * Math.ceil(valueVectors / lanes);
    const isDecode = kernel === "attention/decode";
    const { subgroupMaxSize } = emit.device;
    const [QV, VV] = isDecode ? [Math.ceil(keyDim / 4), valueVectors] : [sharedKeys, sharedValues];
    const sums: Scratch | undefined = partial ? emit.scratch(8 * splits * allRows) : undefined;
    const partialOutputs = partial ? emit.scratch(16 * splits * allRows * valueVectors) : undefined;
    const source = [
      rowAccess({ channels: keyDim, vectors: QV, read: ["q", "k", ...(hasCache ? ["past_k"] : [])], written: [] }),
      rowAccess({
        channels: valueDim,
        vectors: VV,
        read: ["v", ...(hasCache ? ["past_v"] : [])],
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
    for (const run of queryRuns(sizes, plan, emit)) {
      emit.dispatch({
        kernel,
        source,
        constants,
        uniforms: {
          items: run.batches * keyHeads * run.tiles * splits,
          batches: run.batches,
          first_batch: run.firstBatch,
          first_query: run.firstQuery,
          queries: run.queries,
          origin: run.origin,
          tiles: run.tiles,
          query_tokens: queryTokens,
          key_tokens: keyTokens,
          capacity: hasCache ? capacity : 0,
          splits,
          all_rows: allRows,
          zero: 0,
        },
        bindings: {
          q: run.bind(q, keyDim, (bound) => read(bound, keyWidth)),
          k: read(k, keyWidth),
          v: read(v, valueWidth),
          past_k: hasCache ? read(pastKey, keyWidth) : undefined,
          past_v: hasCache ? read(pastValue, valueWidth) : undefined,
          position: hasCache ? read(position) : undefined,
          sink: read(sink),
          y: partial ? undefined : run.bind(y, valueDim, (bound) => write(bound, valueWidth)),
          lse: partial ? undefined : write(lse),
          outputs: write(partialOutputs, 4),
          sums: write(sums),
        },
        workgroups: spread(run.batches * keyHeads * run.tiles * splits),
        reason: partial ? `${how}, keys in ${splits} parts` : how,
      });
    }
    if (partial) {
      const reduced = allRows * valueVectors;
      emit.dispatch({
        kernel: "attention/reduce",
        source: `${rowAccess({ channels: valueDim, vectors: valueVectors, read: [], written: ["y"] })}\n#include "attention/reduce.wgsl"\n`,
        constants: { V_VECTORS: valueVectors, APPEND: append !== undefined, ...append?.constants },
        uniforms: { all_rows: allRows, splits, zero: 0, ...append?.uniforms },
        bindings: {
          outputs: read(partialOutputs, 4),
          sums: read(sums),
          y: write(y, valueWidth),
          lse: write(lse),
          ...append?.bindings,
        },
        workgroups: spread(Math.ceil((reduced + (append?.items ?? 0)) / 64)),
        reason: append ? "joins the parts, and appends to the caches" : "joins the parts",
      });
      return;
    }
  }
  if (append === undefined) return;
  emit.dispatch({
    kernel: "attention/append",
    constants: append.constants,
    uniforms: append.uniforms,
    bindings: append.bindings,
    workgroups: spread(Math.ceil(append.items / 64)),
    reason: append.constants.IN_PLACE === true ? "new rows only" : "a copy: the caches are still needed",
  });
};

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
  };
}
