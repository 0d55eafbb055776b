// Transposing a block of f32 through registers, four by four.

/** Rows transposed at a time: what is written are whole cache lines, what is read is still in the level 1 cache. */
const STRIP: i32 = 16;

/**
 * target[c][r] = source[r][c] for r < rows, c < columns; rows of the source are `step` bytes apart, those of the target
 * `out` bytes. The source is read in the order of memory, as far as its rows reach.
 */
export function transposeBlock(source: usize, step: usize, rows: i32, columns: i32, target: usize, out: usize): void {
  for (let row = 0; row < rows; row += STRIP) {
    transposeStrip(source + <usize>row * step, step, min(STRIP, rows - row), columns, target + (row << 2), out);
  }
}

function transposeStrip(source: usize, step: usize, rows: i32, columns: i32, target: usize, out: usize): void {
  let c = 0;
  for (; c + 4 <= columns; c += 4) {
    let from = source + (c << 2);
    let to = target + <usize>c * out;
    let r = 0;
    for (; r + 4 <= rows; r += 4) {
      const r0 = v128.load(from);
      const r1 = v128.load(from + step);
      const r2 = v128.load(from + 2 * step);
      const r3 = v128.load(from + 3 * step);
      const low01 = i32x4.shuffle(r0, r1, 0, 4, 1, 5);
      const low23 = i32x4.shuffle(r2, r3, 0, 4, 1, 5);
      const high01 = i32x4.shuffle(r0, r1, 2, 6, 3, 7);
      const high23 = i32x4.shuffle(r2, r3, 2, 6, 3, 7);
      v128.store(to, i64x2.shuffle(low01, low23, 0, 2));
      v128.store(to + out, i64x2.shuffle(low01, low23, 1, 3));
      v128.store(to + 2 * out, i64x2.shuffle(high01, high23, 0, 2));
      v128.store(to + 3 * out, i64x2.shuffle(high01, high23, 1, 3));
      from += 4 * step;
      to += 16;
    }
    for (; r < rows; r++) {
      store<f32>(to, load<f32>(from));
      store<f32>(to + out, load<f32>(from, 4));
      store<f32>(to + 2 * out, load<f32>(from, 8));
      store<f32>(to + 3 * out, load<f32>(from, 12));
      from += step;
      to += 4;
    }
  }
  for (; c < columns; c++) {
    let from = source + (c << 2);
    let to = target + <usize>c * out;
    for (let r = 0; r < rows; r++) {
      store<f32>(to, load<f32>(from));
      from += step;
      to += 4;
    }
  }
}
