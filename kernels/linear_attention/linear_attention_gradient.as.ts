// linear_attention_gradient, any rule: q, k, v, decay, beta, starts, dy, dsT → dq, dk, dv, ddecay, dbeta, ds0; see
// common/linear_attention_backward. Threads share batch × sets of heads that have q or k in common, or (separate) batch
// × heads with a dq and dk for each, which linear_attention_sum then adds up.
// args: those inputs and outputs, scratch, B, T, Hq, Hk, Hv, dk, dv, byte strides of decay over batch, time, head, key,
// scale, bytes of scratch per thread, whether it is a delta rule, sets of heads, separate.
import { integer, pointer, scalar, shareStart } from "../common/args.as";
import { loadLanes, storeLanes } from "../common/lanes.as";
import { CHUNK } from "../common/linear_attention.as";
import * as backward from "../common/linear_attention_backward.as";
import * as segment from "../common/linear_attention_segment.as";

export function linear_attention_gradient(args: usize, thread: i32, threads: i32): void {
  const batch = integer(args, 15);
  const time = integer(args, 16);
  const queryHeads = integer(args, 17);
  const keyHeads = integer(args, 18);
  const heads = integer(args, 19);
  const keyDim = integer(args, 20);
  const valueDim = integer(args, 21);
  const decayKey = integer(args, 25);
  const sets = integer(args, 29);
  const separate = integer(args, 30) != 0;
  const outputHeads = max(queryHeads, heads);
  const readers = outputHeads / heads;
  const decay = pointer(args, 3);
  const starts = pointer(args, 5);
  const chunks = (time + CHUNK - 1) / CHUNK;
  const keyStride = keyHeads * keyDim << 2;
  const queryStride = queryHeads * keyDim << 2;
  const stateStride = valueDim << 2;
  const stateBytes = keyDim * stateStride;
  const scale = scalar(args, 26);
  segment.describe(keyDim, valueDim, readers, integer(args, 28) != 0, decayKey != 0, scale);
  backward.layOut(pointer(args, 14) + thread * integer(args, 27));
  // With one dq and dk per head, q and k heads that several heads share have a copy for each.
  const dqHeads = separate ? outputHeads : queryHeads;
  const dkHeads = separate ? heads : keyHeads;
  const dqStride = dqHeads * keyDim << 2;
  const dkStride = dkHeads * keyDim << 2;
  const dvStride = heads * valueDim << 2;
  const dyStride = outputHeads * valueDim << 2;
  const ddecayStride = decayKey != 0 ? heads * keyDim << 2 : heads << 2;

  const units = batch * sets;
  const perUnit = heads / sets;
  const end = shareStart(units, thread + 1, threads);
  for (let unit = shareStart(units, thread, threads); unit < end; unit++) {
    const b = unit / sets;
    const row = b * time;
    for (let h = unit % sets * perUnit; h < (unit % sets + 1) * perUnit; h++) {
      const queryHead = h * readers / (outputHeads / queryHeads);
      const keyHead = h / (heads / keyHeads);
      segment.takeHead(
        pointer(args, 0) + row * queryStride + (queryHead * keyDim << 2), queryStride,
        pointer(args, 1) + row * keyStride + (keyHead * keyDim << 2), keyStride,
        pointer(args, 2) + row * dvStride + (h * valueDim << 2), dvStride,
        decay == 0 ? 0 : decay + b * integer(args, 22) + h * integer(args, 24), integer(args, 23),
        pointer(args, 4) + (row * heads + h << 2), heads << 2,
      );
      const dqHead = separate ? h * readers : queryHead;
      const dkHead = separate ? h : keyHead;
      backward.takeKeyGradients(
        rowsOf(args, 8, row * dqStride + (dqHead * keyDim << 2)), dqStride,
        !separate && h * readers % (outputHeads / queryHeads) != 0,
        rowsOf(args, 9, row * dkStride + (dkHead * keyDim << 2)), dkStride,
        !separate && h % (heads / keyHeads) != 0,
        scale,
      );
      backward.takeValueGradients(
        rowsOf(args, 10, row * dvStride + (h * valueDim << 2)), dvStride,
        rowsOf(args, 11, row * ddecayStride + h * (decayKey != 0 ? keyDim << 2 : 4)), ddecayStride,
        rowsOf(args, 12, (row * heads + h) << 2), heads << 2,
        rowsOf(args, 6, row * dyStride + (h * readers * valueDim << 2)), dyStride,
      );
      const at = (b * heads + h) * stateBytes;
      segment.loadState(backward.DS, rowsOf(args, 7, at), stateStride);
      for (let chunk = chunks - 1; chunk >= 0; chunk--) {
        const start = starts + ((b * chunks + chunk) * heads + h) * stateBytes;
        backward.chunkGradient(start, stateStride, chunk * CHUNK, min(time, (chunk + 1) * CHUNK));
      }
      const ds0 = rowsOf(args, 13, at);
      if (ds0 != 0) segment.storeState(backward.DS, ds0, stateStride);
    }
  }
}

/** Word `index` as an address moved on by `offset`; 0 stays 0. */
function rowsOf(args: usize, index: i32, offset: i32): usize {
  const base = pointer(args, index);
  return base == 0 ? 0 : base + offset;
}

/** to[row][head][c] = sum over i < ratio of from[row][head * ratio + i][c]. args: [from, to, rows × heads, ratio, width]. */
export function linear_attention_sum(args: usize, thread: i32, threads: i32): void {
  const count = integer(args, 2);
  const ratio = integer(args, 3);
  const width = integer(args, 4);
  const end = shareStart(count, thread + 1, threads);
  for (let i = shareStart(count, thread, threads); i < end; i++) {
    const from = pointer(args, 0) + i * ratio * (width << 2);
    const to = pointer(args, 1) + i * (width << 2);
    for (let c = 0; c < width; c += 4) {
      const lanes = width - c;
      let sum = loadLanes(from + (c << 2), lanes);
      for (let r = 1; r < ratio; r++) sum = f32x4.add(sum, loadLanes(from + (r * width + c << 2), lanes));
      storeLanes(to + (c << 2), sum, lanes);
    }
  }
}
