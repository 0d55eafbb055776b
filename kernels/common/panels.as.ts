// The `panels` layout of a weight with N output features of depth K: ceil(N / 16) panels, each K rows of 16 floats, so
// that a GEMM reads every weight once, in order, one cache line per step of k. Features beyond N are zero.
// Feature n at depth k is the float number ((n >> 4) * K + k) * 16 + (n & 15); size is ceil(N / 16) * 16 * K floats.

/** Features per panel. */
export const PANEL: i32 = 16;

/** Panels that hold `features` output features. */
// @ts-ignore: decorator
@inline
export function panelCount(features: i32): i32 {
  return (features + 15) >> 4;
}

/** Address of feature `feature` at depth 0; depth k is 64 * k bytes further. Row v of an embedding [V, K] is feature v. */
// @ts-ignore: decorator
@inline
export function panelFeature(panels: usize, depth: i32, feature: i32): usize {
  return panels + ((<usize>(feature >> 4) * <usize>depth) << 6) + (<usize>(feature & 15) << 2);
}

/** Copies feature `feature` to `target`, `depth` contiguous floats. */
export function gatherPanelFeature(panels: usize, depth: i32, feature: i32, target: usize): void {
  let from = panelFeature(panels, depth, feature);
  const end = target + (depth << 2);
  for (; target < end; target += 4) {
    store<f32>(target, load<f32>(from));
    from += 64;
  }
}

/**
 * One panel (or `depth` rows of it) from features that are contiguous in depth, as in [N, K]:
 * target[k * 16 + j] = source[j * stride + k] for j < count, 0 for count <= j < 16.
 */
export function packFromRows(source: usize, stride: i32, count: i32, depth: i32, target: usize): void {
  const step = <usize>stride << 2;
  let j = 0;
  for (; j + 4 <= count; j += 4) {
    let from = source + <usize>j * step;
    let to = target + (j << 2);
    const end = from + (depth << 2);
    for (; from + 16 <= end; from += 16) {
      const r0 = v128.load(from);
      const r1 = v128.load(from + step);
      const r2 = v128.load(from + 2 * step);
      const r3 = v128.load(from + 3 * step);
      const low01 = i32x4.shuffle(r0, r1, 0, 4, 1, 5);
      const low23 = i32x4.shuffle(r2, r3, 0, 4, 1, 5);
      const high01 = i32x4.shuffle(r0, r1, 2, 6, 3, 7);
      const high23 = i32x4.shuffle(r2, r3, 2, 6, 3, 7);
      v128.store(to, i64x2.shuffle(low01, low23, 0, 2));
      v128.store(to, i64x2.shuffle(low01, low23, 1, 3), 64);
      v128.store(to, i64x2.shuffle(high01, high23, 0, 2), 128);
      v128.store(to, i64x2.shuffle(high01, high23, 1, 3), 192);
      to += 256;
    }
    for (; from < end; from += 4) {
      store<f32>(to, load<f32>(from));
      store<f32>(to, load<f32>(from + step), 4);
      store<f32>(to, load<f32>(from + 2 * step), 8);
      store<f32>(to, load<f32>(from + 3 * step), 12);
      to += 64;
    }
  }
  for (; j < 16; j++) {
    let from = source + <usize>j * step;
    let to = target + (j << 2);
    for (let k = 0; k < depth; k++) {
      store<f32>(to, j < count ? load<f32>(from) : 0);
      from += 4;
      to += 64;
    }
  }
}

/**
 * One panel (or `depth` rows of it) from features that are neighbours in memory, as in [K, N]:
 * target[k * 16 + j] = source[k * stride + j] for j < count, 0 for count <= j < 16.
 */
export function packFromColumns(source: usize, stride: i32, count: i32, depth: i32, target: usize): void {
  const step = <usize>stride << 2;
  const end = target + (<usize>depth << 6);
  if (count >= 16) {
    for (; target < end; target += 64) {
      const x0 = v128.load(source);
      const x1 = v128.load(source, 16);
      const x2 = v128.load(source, 32);
      const x3 = v128.load(source, 48);
      v128.store(target, x0);
      v128.store(target, x1, 16);
      v128.store(target, x2, 32);
      v128.store(target, x3, 48);
      source += step;
    }
    return;
  }
  for (; target < end; target += 64) {
    for (let j = 0; j < 16; j++) store<f32>(target + (j << 2), j < count ? load<f32>(source + (j << 2)) : 0);
    source += step;
  }
}
