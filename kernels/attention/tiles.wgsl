// Tiles of KEYS keys and values in workgroup memory, for the kernels of attention whose 64 threads each take rows.
#include "attention/keys.wgsl"

/// A row's running maximum is raised only when a score exceeds it by this much (in log2), so that sums are seldom rescaled.
const SLACK: f32 = 8.0;

var<workgroup> tile_keys: array<vec4f, KEYS * QV>;
var<workgroup> tile_values: array<vec4f, KEYS * VV>;

/// Reads keys first … first + KEYS - 1; those from `end` on are zero.
fn stage(b: u32, head: u32, first: i32, end: i32, before: i32, local: u32) {
  for (var n = local; n < KEYS * QV; n += 64u) {
    let j = first + i32(n / QV);
    var x = vec4f();
    if (j < end) {
      x = key_at(b, j, before, head, n % QV);
    }
    tile_keys[n] = x;
  }
  for (var n = local; n < KEYS * VV; n += 64u) {
    let j = first + i32(n / VV);
    var x = vec4f();
    if (j < end) {
      x = value_at(b, j, before, head, n % VV);
    }
    tile_values[n] = x;
  }
}
