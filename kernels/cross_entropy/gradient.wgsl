// cross_entropy_gradient: dlogits [rows, CLASSES] = softmax · (g + dlse) − g at the target, g = dloss / count. One thread per unit,
// over the logits' own memory where it is free; what belongs to a row is read by all its threads at once.
#include "common/units.wgsl"

const UNITS = CLASSES / VECTOR;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= uniforms.units) {
    return;
  }
  let row = uniforms.first_row + i / UNITS;
  let class_unit = i % UNITS;
  let label = targets_load(row);
  let lse = lse_load(row);
  let wrong = bitcast<f32>(0x7fc00000u + uniforms.zero);
  var g = 0.0;
#if HAS_DLOSS
  g = dloss_load(0u) / max(count_load(0u), 1.0);
#endif
  if (label == bitcast<i32>(IGNORE)) {
    g = 0.0;
  } else if (u32(label) >= CLASSES) {
    g = wrong;
  }
  var factor = g;
#if HAS_DLSE
  factor += dlse_load(row);
#endif
  // A row that has no softmax, told by bits: some devices have exp(NaN) = infinity.
  factor = select(factor, wrong, (bitcast<u32>(lse) & 0x7f800000u) == 0x7f800000u);
  var d = exp(logits_unit(i) - V(lse)) * factor;
#if VECTOR == 4
  let place = vec4i(label) == vec4i(i32(4u * class_unit)) + vec4i(0, 1, 2, 3);
#else
  let place = label == i32(class_unit);
#endif
  d -= select(V(0.0), V(g), place);
  dlogits_put(i, d);
}
