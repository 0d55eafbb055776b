// attention_gradient, second part: the partial sums that units of attention_gradient leave, added in order.
import { integer, pointer, shareStart } from "../common/args.as";
import { storeLanes } from "../common/lanes.as";

/** Adds up the splits of dk or dv. args: 0 partials [splits][B][Hk][T][columns], 1 output [B,T,Hk,C], 2 splits, 3 B, 4 T, 5 Hk, 6 C. */
export function attention_gradient_sum(args: usize, thread: i32, threads: i32): void {
  const splits = integer(args, 2);
  const B = integer(args, 3);
  const T = integer(args, 4);
  const heads = integer(args, 5);
  const channels = integer(args, 6);
  const bytes = <usize>((channels + 3) & ~3) << 2;
  const total = B * heads * T;
  const end = shareStart(total, thread + 1, threads);
  for (let index = shareStart(total, thread, threads); index < end; index++) {
    const t = index % T;
    const head = (index / T) % heads;
    const b = index / (T * heads);
    const from = pointer(args, 0) + <usize>index * bytes;
    const to = pointer(args, 1) + (<usize>((b * T + t) * heads + head) * <usize>channels << 2);
    for (let c = 0; c < channels; c += 4) {
      let sum = v128.load(from + (c << 2));
      for (let s = 1; s < splits; s++) sum = f32x4.add(sum, v128.load(from + <usize>(s * total) * bytes + (c << 2)));
      storeLanes(to + (c << 2), sum, min(4, channels - c));
    }
  }
}

/** dsink. args: 0 partials [B·Hk·splits][group], 1 dsink [Hq], 2 B, 3 Hk, 4 splits, 5 group. Threads take heads. */
export function attention_gradient_sink(args: usize, thread: i32, threads: i32): void {
  const B = integer(args, 2);
  const heads = integer(args, 3);
  const parts = integer(args, 4);
  const perKey = integer(args, 5);
  for (let h = thread; h < heads * perKey; h += threads) {
    let sum: f32 = 0;
    for (let b = 0; b < B; b++) {
      for (let s = 0; s < parts; s++) {
        sum += load<f32>(pointer(args, 0) + (<usize>(((b * heads + h / perKey) * parts + s) * perKey + h % perKey) << 2));
      }
    }
    store<f32>(pointer(args, 1) + (h << 2), sum);
  }
}
