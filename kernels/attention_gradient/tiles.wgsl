// What keys.wgsl and queries.wgsl share. Each thread, or LANES of them, keeps a row of `own_x` and `own_z` and meets rows of the
// other side in tiles of TILE: for keys, x is k and z is v, and the tiles are of q and dy; for queries x is q and z is dy, and
// the tiles are of k and v. x · x is a score, z · z the slope of the loss by its weight. The kernel says with tile_x_at and
// tile_z_at what the tiles are of.
#include "attention/scores.wgsl"

var<workgroup> tile_x: array<vec4f, TILE * QV>;
var<workgroup> tile_z: array<vec4f, TILE * VV>;
#if LANES > 1
var<workgroup> lane_scores: array<vec4f, TILE * 16u>;
var<workgroup> lane_slopes: array<vec4f, TILE * 16u>;
#endif

/// Reads rows first … first + TILE - 1; those from `end` on are zero.
fn stage(b: u32, head: u32, first: i32, end: i32, local: u32) {
  for (var n = local; n < TILE * QV; n += 64u) {
    let row = first + i32(n / QV);
    var x = vec4f();
    if (row < end) {
      x = tile_x_at(b, head, u32(row), n % QV);
    }
    tile_x[n] = x;
  }
#if HAS_DY
  for (var n = local; n < TILE * VV; n += 64u) {
    let row = first + i32(n / VV);
    var z = vec4f();
    if (row < end) {
      z = tile_z_at(b, head, u32(row), n % VV);
    }
    tile_z[n] = z;
  }
#endif
}
