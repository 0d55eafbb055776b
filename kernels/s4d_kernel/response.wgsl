// s4d_kernel: K [D,T], K[d, l] = Σₙ Re(weight[n] · Ā[n]^l), from modes [D · M, 16] (modes.wgsl). A workgroup takes 64 · EACH tokens of a channel, a
// thread those 64 apart, in registers. Of 32 modes at a time workgroup memory holds Ā^(64 r), and the factors weight · Ā^(first + 8a) and Ā^b of
// a thread's first power, each with an exact phase: two multiply-adds per mode and token, and an error that does not grow with l.
#include "s4d_kernel/powers.wgsl"

const GROUP = 32u;

var<workgroup> strides: array<vec2f, GROUP * EACH>;
var<workgroup> coarse: array<vec2f, GROUP * 8u>;
var<workgroup> fine: array<vec2f, GROUP * 8u>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let group = id.x + id.y * groups.x;
  let row = group % uniforms.channels;
  let channel = uniforms.first_channel + row;
  let first = group / uniforms.channels * 64u * EACH;
#for r in 0..EACH
  var sum_$r = 0.0;
#endfor
  for (var start = 0u; start < MODES; start += GROUP) {
    let count = min(GROUP, MODES - start);
    workgroupBarrier();
    for (var i = local; i < count * (EACH + 16u); i += 64u) {
      let n = i % count;
      let entry = i / count;
      let mode = channel * MODES + start + n;
      let polar = polar_at(mode);
      if (entry < EACH) {
        strides[n * EACH + entry] = power_of(polar, 64u * entry);
      } else if (entry < EACH + 8u) {
        coarse[n * 8u + entry - EACH] = complex_product(weight_at(mode), power_of(polar, first + 8u * (entry - EACH)));
      } else {
        fine[n * 8u + entry - EACH - 8u] = power_of(polar, entry - EACH - 8u);
      }
    }
    workgroupBarrier();
    for (var n = 0u; n < count; n++) {
      let p = complex_product(coarse[n * 8u + (local >> 3u)], fine[n * 8u + (local & 7u)]);
#for r in 0..EACH
      sum_$r += p.x * strides[n * EACH + $r].x - p.y * strides[n * EACH + $r].y;
#endfor
    }
  }
#for r in 0..EACH
  if (first + 64u * $r + local < uniforms.tokens) {
    k_store(uniforms.before + row * uniforms.tokens + first + 64u * $r + local, sum_$r);
  }
#endfor
}
