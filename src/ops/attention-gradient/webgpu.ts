// Dispatch of attention_gradient (kernels/attention_gradient): row sums, then dq by rows, then dk and dv by keys; no atomics.

import { RuntimeError } from "../../runtime/types.ts";
import { float, type GpuLowering, isCpu, read, spread, write } from "../../runtime/webgpu/lowering.ts";
import { lanesFor, rowAccess, scoreConstants, widthOf } from "../attention/rows.ts";
import { type AttentionAttributes, attentionSizes } from "../attention/sizes.ts";
import { required } from "../types.ts";

export const lower: GpuLowering<AttentionAttributes> = ({ inputs, outputs, attributes }, emit) => {
  const [q, k, v, sink] = inputs;
  const lse = required(inputs[5], "attention_gradient lse");
  const y = required(inputs[4], "attention_gradient y");
  const [, , , , , , dy, dlse] = inputs;
  const [dq, dk, dv, dsink] = outputs;
  const sizes = attentionSizes("attention_gradient", q, k, v);
  const { batch, queryTokens, keyTokens, queryHeads, keyHeads, keyDim, valueDim } = sizes;
  const { device } = emit;
  const group = queryHeads / keyHeads;
  const allRows = batch * queryTokens * queryHeads;
  const [keyWidth, valueWidth] = [widthOf(keyDim), widthOf(valueDim)];
  const [keyVectors, valueVectors] = [Math.ceil(keyDim / 4), Math.ceil(valueDim / 4)];
  // dk and dv by keys keeps four rows of channels in registers, dq by rows three.
  const lanes = lanesFor(Math.max(keyVectors, valueVectors), isCpu(device) ? 16 : 8);
  const [Q4, V4] = [Math.ceil(keyVectors / lanes), Math.ceil(valueVectors / lanes)];
  const [QV, VV] = [Q4 * lanes, V4 * lanes];
  const tileBytes = (tile: number): number => tile * 16 * (QV + VV) + 8 * tile + (lanes > 1 ? 512 * tile : 0);
  const tile = [8, 4].find((count) => tileBytes(count) <= Math.min(device.workgroupMemory, 12288)) ?? 4;
  if (tileBytes(tile) > device.workgroupMemory || lanes > 64) {
    throw new RuntimeError(
      `attention_gradient: heads of ${keyDim} and ${valueDim} channels are too wide for a tile in ${device.workgroupMemory} bytes of workgroup memory`,
    );
  }
  const rowsEach = 64 / lanes;
  const constants = {
    ...scoreConstants(attributes),
    LANES: lanes,
    QV,
    VV,
    Q4,
    V4,
    TILE: tile,
    QUADS: tile / 4,
    KEY_HEADS: keyHeads,
    QUERY_HEADS: queryHeads,
    GROUP: group,
    PARTIAL: false,
    GRADIENT_SCALE: float(attributes.scale),
  };
  const uniforms = { batches: batch, query_tokens: queryTokens, key_tokens: keyTokens };
  const deltas = emit.scratch(4 * allRows);
  const keyRows = (names: readonly string[], written: readonly string[] = []) =>
    rowAccess({ channels: keyDim, vectors: QV, read: names, written });
  const valueRows = (names: readonly string[], written: readonly string[] = []) =>
    rowAccess({ channels: valueDim, vectors: VV, read: names, written });
  const upstream = dy ? ["dy"] : [];
  const source = (kernel: string, ...texts: readonly string[]) =>
    [...texts, `#include "attention_gradient/${kernel}.wgsl"\n`].join("\n");

  if (allRows > 0) {
    emit.dispatch({
      kernel: "attention_gradient/deltas",
      source: source("deltas", valueRows(dy ? ["y", "dy"] : [])),
      constants: { LANES: lanes, V4 },
      uniforms: { rows: allRows },
      bindings: {
        y: dy && read(y, valueWidth),
        dy: read(dy, valueWidth),
        dlse: read(dlse),
        deltas: write(deltas),
      },
      workgroups: spread(Math.ceil(allRows / 64)),
      reason: "a thread a row",
    });
  }
  if (dq !== undefined && allRows > 0) {
    const tiles = Math.ceil((queryTokens * group) / rowsEach);
    const items = batch * keyHeads * tiles;
    emit.dispatch({
      kernel: "attention_gradient/queries",
      source: source("queries", keyRows(["q", "k"], ["dq"]), valueRows(["v", ...upstream])),
      constants,
      uniforms: { ...uniforms, items, tiles },
      bindings: {
        q: read(q, keyWidth),
        k: read(k, keyWidth),
        v: read(v, valueWidth),
        dy: read(dy, valueWidth),
        lse: read(lse),
        deltas: read(deltas),
        dq: write(dq, keyWidth),
      },
      workgroups: spread(items),
      reason: `${rowsEach} rows of ${lanes} thread${lanes > 1 ? "s" : ""} over tiles of ${tile} keys`,
    });
  }
  if ((dk !== undefined || dv !== undefined) && batch * keyTokens > 0) {
    const tiles = Math.ceil(keyTokens / rowsEach);
    const items = batch * keyHeads * tiles;
    emit.dispatch({
      kernel: "attention_gradient/keys",
      source: source("keys", keyRows(["q", "k"], dk ? ["dk"] : []), valueRows(["v", ...upstream], dv ? ["dv"] : [])),
      constants,
      uniforms: { ...uniforms, items, tiles },
      bindings: {
        q: read(q, keyWidth),
        k: read(k, keyWidth),
        v: read(v, valueWidth),
        dy: read(dy, valueWidth),
        lse: read(lse),
        deltas: read(deltas),
        dk: write(dk, keyWidth),
        dv: write(dv, valueWidth),
      },
      workgroups: spread(items),
      reason: `${rowsEach} keys of ${lanes} thread${lanes > 1 ? "s" : ""} over tiles of ${tile} rows`,
    });
  }
  if (dsink !== undefined) {
    emit.dispatch({
      kernel: "attention_gradient/sinks",
      constants: { QUERY_HEADS: queryHeads },
      uniforms: { rows: batch * queryTokens },
      bindings: { sink: read(sink), lse: read(lse), deltas: read(deltas), dsink: write(dsink) },
      workgroups: spread(queryHeads),
      reason: "a workgroup a head",
    });
  }
};
