// gather_gradient: dtable [rows, D], row r the sum of dy [count, D] over indices[i] = r, in the order of i: no sorting, no atomics on
// floats, the same bits every time. A workgroup owns ROWS rows of the table. For every block of 1024 indices it marks in workgroup
// memory which of them belong to which of its rows (a bit each, and a bit for each word of 32), then its threads, each
// with one unit of one row at a time, walk the marks and add. Part p of `parts` goes through blocks_each blocks.
#include "common/units.wgsl"

const BLOCK = 1024u;
var<workgroup> marks: array<atomic<u32>, ROWS * 32>;
var<workgroup> words: array<atomic<u32>, ROWS>;

/// Sum of dy's units at the marks of a row.
fn marked_sum(row: u32, first: u32, column: u32) -> V {
  var sum = V(0.0);
  for (var left = atomicLoad(&words[row]); left != 0u; left &= left - 1u) {
    let word = firstTrailingBit(left);
    var bits = atomicLoad(&marks[row * 32u + word]);
    let base = first + word * 32u;
    // Four at a time, so that four loads are on their way: what is past the last mark counts nothing.
    while (bits != 0u) {
      let a = firstTrailingBit(bits);
      bits &= bits - 1u;
      let b = select(firstTrailingBit(bits), a, bits == 0u);
      let more_b = bits != 0u;
      bits &= bits - u32(more_b);
      let c = select(firstTrailingBit(bits), a, bits == 0u);
      let more_c = bits != 0u;
      bits &= bits - u32(more_c);
      let d = select(firstTrailingBit(bits), a, bits == 0u);
      let more_d = bits != 0u;
      bits &= bits - u32(more_d);
      sum += dy_unit((base + a) * UNITS + column);
      let second = dy_unit((base + b) * UNITS + column);
      let third = dy_unit((base + c) * UNITS + column);
      let fourth = dy_unit((base + d) * UNITS + column);
      sum += select(V(0.0), second, more_b);
      sum += select(V(0.0), third, more_c);
      sum += select(V(0.0), fourth, more_d);
    }
  }
  return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let task = group.x + group.y * groups.x;
  let part = task / uniforms.tiles;
  let tile = task % uniforms.tiles;
  let first_row = tile * ROWS;
  let inside = part < uniforms.parts;
  let first_block = part * uniforms.blocks_each;
  for (var block = 0u; block < uniforms.blocks_each; block++) {
    let first = (first_block + block) * BLOCK;
    workgroupBarrier();
    for (var k = thread; k < ROWS * 32u; k += WORKGROUP) {
      atomicStore(&marks[k], 0u);
    }
    for (var k = thread; k < ROWS; k += WORKGROUP) {
      atomicStore(&words[k], 0u);
    }
    workgroupBarrier();
    for (var k = thread; k < BLOCK; k += WORKGROUP) {
      if (first + k < uniforms.count) {
        // A negative index is a very large one.
        let row = u32(indices_load(uniforms.first_index + first + k)) - (uniforms.first_row + first_row);
        if (row < ROWS) {
          atomicOr(&marks[row * 32u + k / 32u], 1u << (k % 32u));
          atomicOr(&words[row], 1u << (k / 32u));
        }
      }
    }
    workgroupBarrier();
    // The first block of all writes every row, the others add to those that they mark.
    let starts = block == 0u && uniforms.adds == 0u;
    for (var k = thread; k < ROWS * UNITS; k += WORKGROUP) {
      let row = k / UNITS;
      if (inside && first_row + row < uniforms.rows && (starts || atomicLoad(&words[row]) != 0u)) {
        let at = (part * uniforms.rows + first_row + row) * UNITS + k % UNITS;
        var sum = marked_sum(row, first, k % UNITS);
        if (!starts) {
          sum += dtable_unit(at);
        }
        dtable_put(at, sum);
      }
    }
  }
}
