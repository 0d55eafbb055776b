// attention, second part where the keys were divided: joins the partial sums of each row, outputs [splits][rows][dv] and sums
// [splits][rows][2] (running maximum in log2, total), in order. One thread per row and vec4 of y. With APPEND further threads
// write the new keys and values into the caches, which the first part has read.
#include "attention/sums.wgsl"
#if APPEND
#include "attention/append_rows.wgsl"
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let item = id.x + id.y * groups.x * 64u;
  let reduced = uniforms.all_rows * V_VECTORS;
  if (item >= reduced) {
#if APPEND
    append(item - reduced);
#endif
    return;
  }
  let row = item / V_VECTORS;
  let c = item % V_VECTORS;
  var top = sums_load(2u * row);
  for (var split = 1u; split < uniforms.splits; split++) {
    top = max(top, sums_load(2u * (split * uniforms.all_rows + row)));
  }
  var total = 0.0;
  var sum = vec4f();
  for (var split = 0u; split < uniforms.splits; split++) {
    let source = split * uniforms.all_rows + row;
    let weight = exp2(sums_load(2u * source) - top);
    total = fma(weight, sums_load(2u * source + 1u), total);
    sum = fma(vec4f(weight), outputs_load4(source * V_VECTORS + c), sum);
  }
  y_put(row, c, sum * inverse_of(total));
#if HAS_LSE
  if (c == 0u) {
    lse_store(row, log_sum(top, total));
  }
#endif
}
