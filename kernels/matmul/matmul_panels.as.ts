// Matrix products with a weight in the `panels` layout (common/panels.as.ts), and the packing into and out of it.
// Threads split the panels (always when the rows are few: then the weights stream once through each core) or the rows.
import { integer, pointer, shareStart } from "../common/args.as";
import { multiplyPanels } from "../common/gemm.as";
import { gatherPanelFeature, packFromColumns, packFromRows, panelCount } from "../common/panels.as";

/** out[M, N] = a[M, K] · weight + bias. args: [a, panels, bias or 0, out, M, N, K]. */
export function matmul_panels(args: usize, thread: i32, threads: i32): void {
  const a = pointer(args, 0);
  const weight = pointer(args, 1);
  const bias = pointer(args, 2);
  const out = pointer(args, 3);
  const rows = integer(args, 4);
  const columns = integer(args, 5);
  const depth = integer(args, 6);
  const aStride = <usize>depth << 2;
  const outStride = <usize>columns << 2;
  const panels = panelCount(columns);
  const groups = (rows + 3) >> 2;
  const byRows = ((groups + threads - 1) / threads) * 4 * panels;
  const byPanels = ((panels + threads - 1) / threads) * rows;
  if (byPanels <= byRows) {
    const first = shareStart(panels, thread, threads);
    const column = first << 4;
    const last = min(columns, shareStart(panels, thread + 1, threads) << 4);
    multiplyPanels(
      a, aStride, rows, weight + <usize>first * (<usize>depth << 6), depth, bias ? bias + (column << 2) : 0,
      out + (column << 2), outStride, last - column,
    );
  } else {
    const first = shareStart(groups, thread, threads) << 2;
    const last = min(rows, shareStart(groups, thread + 1, threads) << 2);
    multiplyPanels(
      a + <usize>first * aStride, aStride, last - first, weight, depth, bias, out + <usize>first * outStride, outStride, columns,
    );
  }
}

/** Packs a weight. args: [weight, panels, N, K, transposed]: [N, K] when transposed, else [K, N]. */
export function pack_panels(args: usize, thread: i32, threads: i32): void {
  const weight = pointer(args, 0);
  const target = pointer(args, 1);
  const features = integer(args, 2);
  const depth = integer(args, 3);
  const transposed = integer(args, 4) != 0;
  const panels = panelCount(features);
  const end = shareStart(panels, thread + 1, threads);
  for (let panel = shareStart(panels, thread, threads); panel < end; panel++) {
    const feature = panel << 4;
    const count = min(16, features - feature);
    const to = target + <usize>panel * (<usize>depth << 6);
    if (transposed) packFromRows(weight + (<usize>feature * <usize>depth << 2), depth, count, depth, to);
    else packFromColumns(weight + (feature << 2), features, count, depth, to);
  }
}

/** Restores a plain weight. args: [panels, weight, N, K, transposed], as for pack_panels. */
export function unpack_panels(args: usize, thread: i32, threads: i32): void {
  const source = pointer(args, 0);
  const weight = pointer(args, 1);
  const features = integer(args, 2);
  const depth = integer(args, 3);
  const transposed = integer(args, 4) != 0;
  const panels = panelCount(features);
  const end = shareStart(panels, thread + 1, threads);
  for (let panel = shareStart(panels, thread, threads); panel < end; panel++) {
    const feature = panel << 4;
    const count = min(16, features - feature);
    if (transposed) {
      for (let j = 0; j < count; j++) {
        gatherPanelFeature(source, depth, feature + j, weight + (<usize>(feature + j) * <usize>depth << 2));
      }
    } else {
      const from = source + <usize>panel * (<usize>depth << 6);
      for (let k = 0; k < depth; k++) {
        memory.copy(weight + (<usize>k * <usize>features + feature << 2), from + (<usize>k << 6), count << 2);
      }
    }
  }
}
