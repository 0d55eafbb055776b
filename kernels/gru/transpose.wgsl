// w_hh [3H, H] -> transposed [H, 3H], so that threads of neighbouring units read neighbouring weights. Tiles of 16 by 16 through workgroup
// memory; a thread takes one element of each row of four.
var<workgroup> tile: array<f32, 16 * 17>;

@compute @workgroup_size(16, 4)
fn main(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) id: vec3u) {
  for (var y = local.y; y < 16u; y += 4u) {
    let row = id.y * 16u + y;
    let column = id.x * 16u + local.x;
    if (row < 3u * HIDDEN && column < HIDDEN) {
      tile[y * 17u + local.x] = weight_load(row * HIDDEN + column);
    }
  }
  workgroupBarrier();
  for (var y = local.y; y < 16u; y += 4u) {
    let row = id.x * 16u + y;
    let column = id.y * 16u + local.x;
    if (row < HIDDEN && column < 3u * HIDDEN) {
      transposed_store(row * 3u * HIDDEN + column, tile[local.x * 17u + y]);
    }
  }
}
