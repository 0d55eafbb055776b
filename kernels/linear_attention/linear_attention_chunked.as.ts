// linear_attention in chunked form, any rule: products of matrices per segment of up to 32 tokens; see
// common/linear_attention_segment. args as in linear_attention.as.ts, then: whether the rule is a delta rule, and into
// how many parts the value columns of a head are split. Threads share batch × heads × parts.
import { integer, pointer, scalar, shareStart } from "../common/args.as";
import { FULL, LOWER, multiply } from "../common/block_gemm.as";
import { CHUNK } from "../common/linear_attention.as";
import * as segment from "../common/linear_attention_segment.as";

export function linear_attention_chunked(args: usize, thread: i32, threads: i32): void {
  const batch = integer(args, 10);
  const time = integer(args, 11);
  const queryHeads = integer(args, 12);
  const keyHeads = integer(args, 13);
  const heads = integer(args, 14);
  const keyDim = integer(args, 15);
  const valueDim = integer(args, 16);
  const decayHead = integer(args, 19);
  const delta = integer(args, 23) != 0;
  const parts = integer(args, 24);
  const outputHeads = max(queryHeads, heads);
  const readers = outputHeads / heads;
  const decay = pointer(args, 3);
  const beta = pointer(args, 4);
  const s0 = pointer(args, 5);
  const starts = pointer(args, 8);
  const keyStride = keyHeads * keyDim << 2;
  const queryStride = queryHeads * keyDim << 2;
  const valueStride = heads * valueDim << 2;
  const outputStride = outputHeads * valueDim << 2;
  const stateStride = valueDim << 2;
  const stateBytes = keyDim * stateStride;
  const chunks = (time + CHUNK - 1) / CHUNK;
  const scratch = pointer(args, 9) + thread * integer(args, 22);
  const octets = (valueDim + 7) / 8;

  const end = shareStart(batch * heads * parts, thread + 1, threads);
  for (let unit = shareStart(batch * heads * parts, thread, threads); unit < end; unit++) {
    const part = unit % parts;
    const h = (unit / parts) % heads;
    const b = unit / parts / heads;
    const first = octets * part / parts * 8;
    const columns = min(octets * (part + 1) / parts * 8, valueDim) - first;
    if (columns <= 0) continue;
    segment.describe(keyDim, columns, readers, delta, integer(args, 20) != 0, scalar(args, 21));
    const state = segment.layOut(scratch);
    const output = state + segment.n * segment.valueRow;
    const valueRow = segment.valueRow;
    const p = segment.p;
    const q = pointer(args, 0) + b * time * queryStride + (h * readers / (outputHeads / queryHeads) * keyDim << 2);
    const k = pointer(args, 1) + b * time * keyStride + (h / (heads / keyHeads) * keyDim << 2);
    const v = pointer(args, 2) + b * time * valueStride + (h * valueDim + first << 2);
    const gate = decay == 0 ? 0 : decay + b * integer(args, 17) + h * decayHead;
    segment.takeHead(
      q, queryStride, k, keyStride, v, valueStride,
      gate, integer(args, 18), beta + (b * time * heads + h << 2), heads << 2,
    );
    const at = (b * heads + h) * stateBytes + (first << 2);
    segment.loadState(state, s0 == 0 ? 0 : s0 + at, stateStride);
    let y = pointer(args, 6) + b * time * outputStride + (h * readers * valueDim + first << 2);
    for (let t = 0; t < time; ) {
      if (starts != 0 && t % CHUNK == 0) {
        segment.storeState(state, starts + ((b * chunks + t / CHUNK) * heads + h) * stateBytes + (first << 2), stateStride);
      }
      const tokens = segment.segmentLength(t, min(time, (t / CHUNK + 1) * CHUNK) - t);
      const padded = segment.paddedTokens(tokens);
      segment.prepare(t, tokens);
      segment.score(tokens);
      segment.correct(state, tokens);
      for (let r = 0; r < readers; r++) {
        const rows = segment.Q + r * segment.queryBlock();
        multiply(output, valueRow, 0, rows, segment.keyRow, 4, state, valueRow, padded, p, segment.n, FULL);
        const square = segment.P + r * segment.SCORE_BLOCK;
        multiply(output, valueRow, output, square, segment.TOKEN_ROW, 4, segment.U, valueRow, padded, p, padded, LOWER);
        for (let i = 0; i < tokens; i++) {
          memory.copy(y + i * outputStride + (r * valueDim << 2), output + i * valueRow, columns << 2);
        }
      }
      segment.advance(state, state, tokens);
      y += tokens * outputStride;
      t += tokens;
    }
    segment.storeState(state, pointer(args, 7) + at, stateStride);
  }
}
