// attention_gradient, dsink = -Σ_i exp(sink - lse_i) D_i over batch rows and queries. A workgroup a query head: each thread
// adds every 64th row, then the threads' sums are added in a fixed order.
const LOG2_E: f32 = 1.4426950408889634;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let head = id.x + id.y * groups.x;
  if (head >= QUERY_HEADS) {
    return;
  }
  let logit = sink_load(head);
  var sum = 0.0;
  for (var row = local; row < uniforms.rows; row += 64u) {
    let index = row * QUERY_HEADS + head;
    sum += exp2((logit - lse_load(index)) * LOG2_E) * deltas_load(index);
  }
  sums[local] = sum;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      sums[local] += sums[local + half];
    }
  }
  if (local == 0u) {
    dsink_store(head, -sums[0]);
  }
}
